"""A run whose teacher asks more than one question, from the teacher to a bundle that the tool reads."""

import shutil

import numpy as np
import pytest
import torch

from distill import stages
from distill.calibration import calibrate_run
from distill.stages import run_stage
from router.config import RouterConfig
from router.policy import RoutingPolicy
from router.standardise import log_share
from student_vae import load_student
from teacher.fit import fit_teacher
from teacher.questions import trial
from teacher.questions.choice import Choice
from teacher.questions.config import QuestionsConfig
from tests.conftest import tiny_distill_config
from tool_side.export.graph import scoring_graph
from tool_side.export.parity import graph_scores
from tool_side.export.write import export_bundle
from wafer_data.files import read_json

WEIGHTS = {"place": 0.3, "context": 0.4, "painted": 0.3}


@pytest.fixture(scope="module")
def asked_run(tiny_data, tiny_store, tiny_teacher_config, tmp_path_factory):
    """Teacher, students, policy and bundle, with three questions whatever the evidence says of so small a set."""
    run_dir = tmp_path_factory.mktemp("asked") / "run"
    shutil.copytree(tiny_data, run_dir / "data")
    questions = QuestionsConfig(ask=["context", "painted"], images=20, hidden=4, steps=10)
    config = tiny_teacher_config.model_copy(update={"questions": questions})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "choose", lambda *_: Choice(WEIGHTS, {}, 0.5, {}, {}))
        fit_teacher(config, tiny_store, run_dir / "teacher")
    for name in ("intermediate", "target", "full", "lowres"):
        run_stage(name, tiny_distill_config(), run_dir, tiny_store)
    calibrate_run(
        run_dir, tiny_store, RouterConfig(escalation_target=0.2, escalation_budget=[0.05, 0.5], flag_rate=0.1)
    )
    export_bundle(run_dir, run_dir / "bundle")
    return run_dir


def test_students_give_the_answers_before_the_directions_that_they_need(asked_run):
    for name, directions in (("full", 4), ("lowres", 8)):
        student = load_student(asked_run / name)
        assert student.likelihood.answers.names == list(WEIGHTS)
        assert student.trunk.head.out_channels == 2 + student.channels
        assert student.channels <= max(directions, 8)


def test_both_students_speak_alike_of_an_escalated_image_unless_a_share_is_given(asked_run, tiny_store):
    def share() -> float:
        return log_share(RoutingPolicy.from_dict(read_json(asked_run / "router" / "policy.json")))

    assert share() == pytest.approx(0.5)
    before = {path.name: path.read_bytes() for path in (asked_run / "router").iterdir()}
    given = RouterConfig(
        escalation_target=0.2, escalation_budget=[0.05, 0.5], flag_rate=0.1, full_weight=0.75
    )
    calibrate_run(asked_run, tiny_store, given)
    assert share() == pytest.approx(0.75)
    for name, content in before.items():
        (asked_run / "router" / name).write_bytes(content)


@pytest.fixture(scope="module")
def painted_run(asked_run, tiny_store, tmp_path_factory):
    """The same teacher with students that learn from the paint, as they do from more images than there are here."""
    run_dir = tmp_path_factory.mktemp("painted") / "run"
    shutil.copytree(asked_run / "data", run_dir / "data")
    shutil.copytree(asked_run / "teacher", run_dir / "teacher")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "ENOUGH_FOR_PAINT", 1)
        for name in ("intermediate", "target", "full"):
            run_stage(name, tiny_distill_config(), run_dir, tiny_store)
    return run_dir


def test_an_answer_learned_from_the_paint_is_standard_on_normal_cells(painted_run, tiny_store):
    student = load_student(painted_run / "full")
    with torch.no_grad():
        answer = student.features(torch.from_numpy(tiny_store.batch(tiny_store.indices("train", 0))))[:, 1]
    assert (float(answer.mean()), float(answer.std())) == pytest.approx((0, 1), abs=1e-3)


def test_a_stage_goes_on_from_the_log_odds_that_another_left(painted_run, asked_run):
    centre, scale = read_json(painted_run / "intermediate" / "student.json")["painted_odds"]
    start = load_student(painted_run / "intermediate")
    answer, others = start.trunk.head.bias[1].item(), start.trunk.head.bias[2].item()
    stages._to_odds(start, 1, centre, scale)
    assert start.trunk.head.bias[1].item() == pytest.approx(answer * scale + centre)
    assert start.trunk.head.bias[2].item() == others
    assert read_json(asked_run / "intermediate" / "student.json")["painted_odds"] is None


def test_the_exported_graphs_score_as_pytorch_does(asked_run, tiny_store):
    images = torch.from_numpy(tiny_store.batch(tiny_store.indices("test")[:4]))
    for name in ("full", "lowres"):
        student = load_student(asked_run / name)
        with torch.no_grad():
            expected = student.score(images).score.numpy()
        found = graph_scores(scoring_graph(student).SerializeToString(), images[:, 0].numpy())
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_bundle_says_which_questions_it_answers(asked_run):
    said = read_json(asked_run / "bundle" / "manifest.json")["questions"]
    assert said["weights"] == WEIGHTS
    assert said["sentences"]
