"""Images with a constant border whose test images show hot pixels in it: one score an image, whoever looks at it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.compare import compare_runs
from eval.config import EvalConfig
from eval.errors import analyse_errors
from eval.novelty import NoveltySettings, assess_novelty
from eval.report import remake_report
from eval.tradeoff.config import FabConfig
from router.config import RouterConfig
from router.gate import QualityGate
from router.policy import RoutingPolicy
from router.route_scores import look, route_scores
from student_vae import load_student
from tests.conftest import synthetic_wafer, tiny_distill_config
from tool_side import Inspector, load_bundle
from wafer_data.config import DataConfig
from wafer_data.files import read_json, write_text
from waferroute.config import RunConfig, RunSection, to_yaml
from waferroute.pipeline import Pipeline
from waferroute.run_lock import locked
from waferroute.stages import all_stages

BORDER, SIZE, FRAME = 32, 256, 120
TYPES = ("scratch", "particle")


def framed(rng: np.random.Generator, defect: str | None = None, hot: int = 0) -> np.ndarray:
    """A synthetic line pattern inside a grey frame, with `hot` bright pixels in the frame."""
    image = synthetic_wafer(rng, defect, SIZE)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    image[~inside] = FRAME
    # one in a bin of 4 x 4 pixels at the most, 20 levels high: no bin leaves its constant by more than the gate bears
    bins = rng.permutation(np.argwhere(~inside[::4, ::4]))[:hot]
    image[4 * bins[:, 0] + 1, 4 * bins[:, 1] + 2] = FRAME + 20
    return image


@pytest.fixture(scope="module")
def run(tiny_teacher_config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, with constants of the likelihood that suit so few images."""
    folder, rng = tmp_path_factory.mktemp("framed"), np.random.default_rng(0)
    for part, count, defect, hot in (
        ("train/good", 96, None, 0),
        ("test/good", 12, None, 900),
        *((f"test/{name}", 8, name, 900) for name in TYPES),
    ):
        (folder / "images" / part).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(framed(rng, defect, hot)).save(folder / "images" / part / f"{number:03d}.png")
    config = RunConfig(
        run=RunSection(dir=str(folder / "run")),
        data=DataConfig(format="mvtec", root=str(folder / "images"), calibration_fraction=0.4),
        teacher=tiny_teacher_config,
        distill=tiny_distill_config(),
        router=RouterConfig(escalation_target=0.2, escalation_budget=[0.05, 0.5], flag_rate=0.1),
        eval=EvalConfig(baselines=[], latency_runs=10, bootstrap=100, worst=2, study_seconds=0),
    )
    with locked(config.run_dir):
        write_text(config.run_dir / "config.yaml", to_yaml(config))
        Pipeline(all_stages(), config, config.run_dir).run()
    return config.run_dir


@pytest.fixture(scope="module")
def images(run: Path) -> list[dict]:
    return read_json(run / "report" / "predictions.json")["images"]


def counts(images: list[dict]) -> tuple[int, int]:
    """Missed defects and false alarms."""
    missed = sum(image["label"] == 1 and image["decision"] == "PASS" for image in images)
    return missed, sum(image["label"] == 0 and image["decision"] != "PASS" for image in images)


def test_the_frame_is_masked_and_hot_pixels_would_change_a_score(run):
    gate = RoutingPolicy.from_dict(read_json(run / "router" / "policy.json")).gate
    assert gate.mask is not None and 0.3 < 1 - gate.mask.informative_share < 0.5
    grey = framed(np.random.default_rng(5), None, 1700) / np.float32(255)
    seen = look(gate, grey)
    assert np.count_nonzero(seen.seen != grey) >= 900
    from likelihood.arrays import on_arrays

    student = {name: on_arrays(load_student(run / name)) for name in ("lowres", "full")}
    whole = QualityGate(gate.ranges, gate.fitted_on)
    ours, raw = (route_scores(one, [grey], student).full[0] for one in (gate, whole))
    assert abs(ours / raw - 1) > 1e-4


def test_the_report_says_what_the_tool_does_with_the_files(run, images):
    inspector = Inspector(load_bundle(run / "bundle"))
    assert {image["route"] for image in images} >= {"lowres", "full"}
    for image in images:
        found = inspector.inspect(image["path"])
        assert (found.decision, found.route) == (image["decision"], image["route"])
        for stage, score in found.scores.items():
            assert image["scores"][stage] == score
    parity = read_json(run / "report" / "parity.json")
    assert parity["decisions_differ"] == parity["routes_differ"] == 0
    assert max(parity["max_relative_lowres_deviation"], parity["max_relative_full_deviation"]) < 1e-4
    routing, (missed, alarms) = read_json(run / "report" / "report.json")["routing"], counts(images)
    assert (routing["fnr"], routing["fpr"]) == (missed / 16, alarms / 12)


def test_errors_has_the_same_counts_and_margins(run, images, tmp_path):
    found = analyse_errors(run, tmp_path / "errors")
    assert (found["counts"]["missed"], found["counts"]["false_alarms"]) == counts(images)
    policy = read_json(run / "router" / "policy.json")
    by_path = {"/".join(Path(image["path"]).parts[-3:]): image for image in images}
    for error in found["errors"]:
        image = by_path[error["path"]]
        assert error["decision"] == image["decision"]
        limit = policy["review_above" if image["route"] == "full" else "escalate_above"]
        if image["route"] != "none":
            assert error["margin"] == pytest.approx(image["routed_score"] - limit, abs=1e-9)


def test_the_report_drawn_again_is_the_same(run):
    before = (run / "report" / "report.html").read_text(encoding="utf-8")
    remake_report(run, FabConfig(), measure=False, shown=2)
    assert (run / "report" / "report.html").read_text(encoding="utf-8") == before


def test_a_comparison_has_the_same_counts(run, images, tmp_path):
    shutil.copytree(run, tmp_path / "twin")
    found = compare_runs([run, tmp_path / "twin"], tmp_path / "out", resamples=100)
    missed, alarms = counts(images)
    for one in found["runs"].values():
        assert (one["decisions"]["fnr"], one["decisions"]["fpr"]) == (missed / 16, alarms / 12)


def test_novelty_without_labels_has_the_same_counts(run, images, tmp_path):
    settings = NoveltySettings(draws=100, epochs=1)
    found = assess_novelty(run, tmp_path / "novelty", settings, config=EvalConfig())["held_out"]
    missed, alarms = counts(images)
    assert found["false_alarms"]["flagged"] == alarms
    assert sum(one["images"] - one["found"] for one in found["without"]) == missed
    assert json.dumps(found["without"])
