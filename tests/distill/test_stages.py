"""Stages: what they write, that they learn, that a killed one goes on as if nothing had happened."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from distill import imitation, stages
from distill.config import DistillConfig, StageConfig
from distill.stages import run_stage
from likelihood import LevelConfig, LikelihoodConfig
from likelihood.answers import Answers
from student_vae import StudentConfig, load_student
from tests.conftest import tiny_distill_config
from training import loop
from wafer_data.errors import InputError
from wafer_data.store import ImageStore


def copy_of(tiny_run, tmp_path, *, without):
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run, run_dir)
    for name in without:
        shutil.rmtree(run_dir / name, ignore_errors=True)
    return run_dir


def losses(folder):
    with (folder / "losses.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_imitation_and_elbo_losses_fall(tiny_run):
    rows = losses(tiny_run / "full")
    imitated = [float(r["distill"]) for r in rows if r["phase"] == "imitation"]
    bce = [float(r["bce"]) for r in rows if r["phase"] == "elbo"]
    assert imitated[-1] < imitated[0]
    assert bce[-1] < bce[0]


def test_kl_weight_is_annealed(tiny_run):
    weights = [float(r["kl_weight"]) for r in losses(tiny_run / "full") if r["phase"] == "elbo"]
    assert weights == sorted(weights) and weights[-1] == 1.0


def test_a_stage_without_the_elbo_phase_has_no_decoder(tiny_run):
    assert load_student(tiny_run / "intermediate").decoder is None
    assert load_student(tiny_run / "full").decoder is not None


def test_each_stage_records_who_taught_it(tiny_run):
    teachers = {
        n: json.loads((tiny_run / n / "student.json").read_text())["teacher"]
        for n in ("intermediate", "target", "full", "lowres")
    }
    assert teachers == {"intermediate": "teacher", "target": "teacher", "full": "target", "lowres": "target"}


def test_each_stage_notes_which_images_taught_it(tiny_run, tiny_store):
    training = {record.sha256 for record in tiny_store.records if record.split == "train"}
    for name in ("teacher", "intermediate", "target", "full", "lowres"):
        noted = json.loads((tiny_run / name / "learned_from.json").read_text())
        assert set(noted["images"]) == training and noted["data_fingerprint"] == tiny_store.fingerprint


def test_a_stage_killed_after_an_epoch_resumes_to_the_same_bytes(tiny_run, tmp_path, monkeypatch):
    run_dir = copy_of(tiny_run, tmp_path, without=["lowres"])
    store = ImageStore.open(run_dir / "data")
    real = loop.save_checkpoint

    def die_after_saving(*args):
        real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", die_after_saving)
    with pytest.raises(KeyboardInterrupt):
        run_stage("lowres", tiny_distill_config(), run_dir, store)
    assert not (run_dir / "lowres" / "student.json").exists()
    monkeypatch.setattr(loop, "save_checkpoint", real)
    run_stage("lowres", tiny_distill_config(), run_dir, store)
    for name in ("student.safetensors", "student.json", "losses.csv"):
        assert (run_dir / "lowres" / name).read_bytes() == (tiny_run / "lowres" / name).read_bytes(), name


def test_checkpoints_of_another_configuration_are_not_resumed(tiny_run, tmp_path, monkeypatch):
    run_dir = copy_of(tiny_run, tmp_path, without=["lowres"])
    store = ImageStore.open(run_dir / "data")
    real = loop.save_checkpoint

    def die_after_saving(*args):
        real(*args)
        raise KeyboardInterrupt

    other = tiny_distill_config()
    changed = other.model_copy(update={"lowres": other.lowres.model_copy(update={"learning_rate": 1e-4})})
    monkeypatch.setattr(loop, "save_checkpoint", die_after_saving)
    with pytest.raises(KeyboardInterrupt):
        run_stage("lowres", changed, run_dir, store)
    monkeypatch.setattr(loop, "save_checkpoint", real)
    run_stage("lowres", tiny_distill_config(), run_dir, store)
    ours, fresh = (load_student(d / "lowres").state_dict() for d in (run_dir, tiny_run))
    assert all(torch.equal(ours[k], fresh[k]) for k in fresh)


def test_a_student_may_keep_only_the_first_directions(tiny_run):
    full, target = (load_student(tiny_run / n) for n in ("full", "target"))
    assert (full.channels, target.channels) == (4, 8)
    assert full.trunk.head.weight.shape[0] == 4


def test_only_directions_that_the_likelihood_looks_at_are_imitated(
    tiny_run, tiny_store, tmp_path, monkeypatch
):
    seen = []
    real = imitation.Imitation.forward

    def spy(task, images, targets, *others):
        seen.append((targets.shape[1], task.model(images).shape[1], task.weights.shape[1]))
        return real(task, images, targets, *others)

    monkeypatch.setattr(imitation.Imitation, "forward", spy)
    run_stage("full", tiny_distill_config(), copy_of(tiny_run, tmp_path, without=["full"]), tiny_store)
    assert set(seen) == {(4, 4, 4)}


def test_a_stage_may_ask_for_a_multiple_of_the_copies(tiny_run, tiny_store, tmp_path, monkeypatch):
    pools = []
    monkeypatch.setattr(stages, "imitate", lambda task, *others: pools.append(task.pool))
    config = tiny_distill_config()
    three = config.model_copy(update={"lowres": config.lowres.model_copy(update={"copies": 3})})
    for place, chosen in enumerate((config, three)):
        run_dir = copy_of(tiny_run, tmp_path / str(place), without=["lowres"])
        run_stage("lowres", chosen, run_dir, tiny_store)
    one, many = pools
    assert len(many) - len(one) == 2 * config.pool.generated
    np.testing.assert_array_equal(many.images[: len(one)], one.images)  # the first ones are the same


def test_surfaces_that_ask_more_than_places_get_more_copies_and_students_of_other_shapes():
    config = DistillConfig()
    for name in ("intermediate", "target", "full", "lowres"):
        assert config.stage_of(name, asks_more=False) == getattr(config, name)
    assert config.stage_of("target", asks_more=True) == config.target
    full, low = (config.stage_of(name, asks_more=True) for name in ("full", "lowres"))
    assert (full.copies, full.student.block, config.full.student.block) == (3, "inverted", "residual")
    assert (low.copies, low.student.map_size, config.lowres.student.map_size) == (3, 32, 16)
    for stage in (full, low):
        StudentConfig.model_validate(stage.student.model_dump())  # a shape that could stand in a file


def test_copies_are_turned_where_looks_count_and_all_of_them_where_images_are_few_and_no_place_counts():
    free, bound = (Answers({"place": place, "painted": 1.0}) for place in (0.0, 0.5))
    assert stages._turned(None, 40) == 0
    assert stages._turned(bound, 40) == stages._turned(free, 400) == stages.TURNED < 1
    assert stages._turned(free, 40) == 1


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("lowres", {"map_size": 8, "channels": None}),
        ("lowres", {"channels": [8, 8, 16, 32]}),
        ("full", {"fine_blocks": 3}),
    ],
)
def test_a_shape_that_was_chosen_stays_whatever_is_asked(name, chosen):
    stage = getattr(DistillConfig(), name)
    student = stage.student.model_copy(update=chosen)
    config = DistillConfig(**{name: stage.model_copy(update={"student": student})})
    assert config.stage_of(name, asks_more=True).student == student


def test_where_places_lie_otherwise_in_every_image_the_low_resolution_latent_is_taken_from_all_directions():
    config = DistillConfig()
    for name in ("intermediate", "target", "full"):
        assert config.stage_of(name, asks_more=False, loose=True) == getattr(config, name)
    low, usual = config.stage_of("lowres", asks_more=False, loose=True), config.lowres
    StudentConfig.model_validate(low.student.model_dump())  # a likelihood that could stand in a file
    assert low.student.likelihood.latent_directions is None is not usual.student.likelihood.latent_directions
    kept = usual.model_copy(update={"student": low.student})
    assert low == kept and low.student.map_size == usual.student.map_size
    chosen = usual.student.likelihood.model_copy(update={"top_positions": 0.1})
    own = usual.model_copy(update={"student": usual.student.model_copy(update={"likelihood": chosen})})
    assert config.model_copy(update={"lowres": own}).stage_of("lowres", asks_more=False, loose=True) == own


def test_no_finer_map_than_a_full_student_has_whose_map_was_chosen():
    likelihood = LikelihoodConfig(levels=[LevelConfig()], prototypes=0)
    student = StudentConfig(map_size=16, likelihood=likelihood)
    config = DistillConfig(full=DistillConfig().full.model_copy(update={"student": student}))
    for name in ("full", "lowres"):
        assert config.stage_of(name, asks_more=True).student == getattr(config, name).student


def test_a_student_that_does_not_fit_its_teacher_is_refused(tiny_run, tiny_store, tmp_path):
    run_dir = copy_of(tiny_run, tmp_path, without=["full"])
    config = tiny_distill_config()
    student = config.full.student.model_copy(update={"map_size": 32})
    changed = config.model_copy(update={"full": config.full.model_copy(update={"student": student})})
    with pytest.raises(InputError, match="map_size=32"):
        run_stage("full", changed, run_dir, tiny_store)


def four_directions() -> StudentConfig:
    return StudentConfig(likelihood=LikelihoodConfig(levels=[LevelConfig(directions=4)], latent_directions=4))


def test_an_unknown_stage_is_refused(tiny_run, tiny_store):
    with pytest.raises(InputError, match="intermediate, target, full, lowres"):
        run_stage("huge", tiny_distill_config(), tiny_run, tiny_store)


def test_a_missing_teacher_is_refused(tiny_run, tiny_store, tmp_path):
    run_dir = copy_of(tiny_run, tmp_path, without=["target", "full"])
    with pytest.raises(InputError, match="target"):
        run_stage("full", tiny_distill_config(), run_dir, tiny_store)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"full": StageConfig(teacher="target"), "lowres": StageConfig(teacher="target")}, "smaller"),
        ({"intermediate": StageConfig(teacher="target")}, "runs later"),
        (
            {"target": StageConfig(start_from="intermediate", student=four_directions())},
            "whole head",
        ),
        (
            {"target": StageConfig(start_from="intermediate", student=StudentConfig(width=3.0))},
            "to be the same",
        ),
    ],
)
def test_impossible_combinations_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        DistillConfig(**values)
