"""All seven steps on a real service's data; a ready bundle takes the training's place."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from lifecycle.conductor.shadow import shadow_of
from lifecycle.retraining.config import RetrainingConfig
from lifecycle.retraining.plan import Plan, begin
from lifecycle.retraining.train import bundle_of
from router.canary import position
from tests.lifecycle.retraining.conftest import Fab, settings_for
from wafer_data.errors import InputError
from wafer_data.files import read_json
from waferroute.retraining import STEPS, is_complete, retrain, state_of


def do(plan: Plan, *names: str, force: bool = False) -> dict[str, str]:
    outcomes, _ = retrain(plan.config, plan, "retraining.yaml", names or None, force=force)
    return {one.stage: one.status for one in outcomes}


def manifest(plan: Plan) -> dict:
    return read_json(plan.folder / "extract" / "manifest.json")


def test_from_images_and_verdicts_to_a_version_in_shadow(plan: Plan, fab: Fab, trained: list[Path]):
    assert do(plan) == dict.fromkeys(STEPS, "done")
    version = fab.folder.get("v1.1.0")
    assert version.gate["passed"] and version.about["retraining"] == "first"
    assert version.about["data_fingerprint"] == "test"
    assert shadow_of(fab.folder.path)[0] == version.name
    assert fab.folder.pointer().champion == "vae-wafer-v1.0.0", "only a person promotes"
    assert is_complete(plan) and "v1.1.0" in state_of(plan)


def test_what_is_done_is_skipped_and_leaves_nothing_twice(plan: Plan, fab: Fab, trained: list[Path]):
    do(plan)
    assert do(plan) == dict.fromkeys(STEPS, "skipped")
    assert do(plan, "register", "shadow", force=True) == {"register": "done", "shadow": "done"}
    assert [v.name for v in fab.folder.versions()] == ["vae-wafer-v1.0.0", "vae-wafer-v1.1.0"]


def test_steps_one_by_one_are_the_whole(plan: Plan, fab: Fab, trained: list[Path]):
    with pytest.raises(
        InputError, match=r"needs the result of stage extract .* run first: waferroute retrain"
    ):
        do(plan, "validate")
    for name in STEPS:
        assert do(plan, name) == {name: "done"}
    assert len(fab.folder.versions()) == 2


def test_a_changed_threshold_asks_the_gate_again_and_trains_nothing(plan: Plan, trained: list[Path]):
    do(plan)
    stricter = plan.config.model_copy(update={"gate": plan.config.gate.model_copy(update={"worse": 0.19})})
    again = do(begin(stricter, "first", "manual", "a test"))
    assert [again[name] for name in ("extract", "validate", "train", "evaluate")] == ["skipped"] * 4
    assert again["gate"] == "done"


def test_the_same_images_are_not_trained_on_twice(config: RetrainingConfig, trained: list[Path]):
    do(begin(config, "first", "manual", "a test"))
    with pytest.raises(InputError, match="those of the retraining first: nothing new to learn"):
        do(begin(config, "second", "manual", "a test"))


def only_brighter(student_graph: Callable[..., bytes]) -> Callable[[int], bytes]:
    """Graphs that see what is brighter than grey and nothing that is darker: they lost every hole."""

    def make(side: int) -> bytes:
        model = onnx.load_from_string(student_graph(side))
        next(node for node in model.graph.node if node.op_type == "Abs").op_type = "Relu"
        return model.SerializeToString()

    return make


def test_a_version_that_decides_since_is_the_one_to_be_compared_with(
    plan: Plan, fab: Fab, trained: list[Path], bundles: list[Path]
):
    do(plan, "extract", "validate", "train", "evaluate", "gate")
    other = fab.folder.push(bundles[2])
    fab.folder.promote(other.name, by="eva", reason="meanwhile")
    again = begin(plan.config, "first", "manual", "a test")
    statuses = do(again)
    assert [statuses[name] for name in STEPS[:4]] == ["skipped", "skipped", "skipped", "done"]
    assert read_json(plan.folder / "gate" / "gate.json")["against"] == other.name
    # and once it is a version, it stays with what it was compared with
    fab.folder.rollback(by="eva", reason="back")
    assert do(begin(plan.config, "first", "manual", "a test")) == dict.fromkeys(STEPS, "skipped")


class TestTheGate:
    @pytest.fixture
    def refused(
        self, plan: Plan, trained: list[Path], write_bundle: Callable[..., Path], tmp_path: Path,
        student_graph: Callable[..., bytes],
    ) -> Plan:  # fmt: skip
        half_blind = only_brighter(student_graph)
        trained.append(write_bundle(tmp_path / "blind", lowres=half_blind(32), full=half_blind(64)))
        # lenient in every figure: what was lost stops it, and nothing else needs to
        gate = {"auroc": 0.0, "fnr_at_fpr5": 1.0, "escape": 1.0, "false_alarm": 1.0, "worse": 1.0}
        gate["regressions"] = 10_000
        lenient = plan.config.model_copy(update={"gate": plan.config.gate.model_copy(update=gate)})
        plan = begin(lenient, "first", "manual", "a test")
        assert "register" not in do(plan)
        return plan

    def test_a_candidate_that_lost_a_defect_type_is_not_registered(self, refused: Plan, fab: Fab):
        said = read_json(refused.folder / "gate" / "gate.json")
        assert not said["passed"]
        assert any("no defect of the type hole" in reason for reason in said["reasons"])
        assert not any("of the type spot" in reason for reason in said["reasons"])
        assert [v.name for v in fab.folder.versions()] == ["vae-wafer-v1.0.0"]
        assert shadow_of(fab.folder.path) is None
        assert is_complete(refused) and state_of(refused) == "did not pass its gate"
        with pytest.raises(InputError, match="did not pass its gate and is not registered"):
            do(refused, "register")

    def test_pushed_by_hand_it_cannot_be_promoted_either(self, refused: Plan, fab: Fab):
        version = fab.folder.push(bundle_of(refused))
        with pytest.raises(InputError, match="did not pass its gate"):
            fab.folder.promote(version.name, by="eva", reason="hope")
        with pytest.raises(InputError, match="did not pass its gate"):
            fab.folder.start_canary(version.name, 0.1, "r", by="eva", reason="hope")

    def test_every_lost_defect_is_named_with_its_picture(self, refused: Plan):
        said = read_json(refused.folder / "gate" / "gate.json")
        page = (refused.folder / "gate" / "gate.html").read_text(encoding="utf-8")
        old = [one["file"] for one in manifest(refused)["regression"]]
        assert old and said["regressions"]
        lost_old = [name for name in said["regressions"] if name.startswith("regression/")]
        assert {name.removeprefix("regression/") for name in lost_old} <= set(old)
        for name in said["regressions"]:
            assert name in page
        assert page.count("data:image/webp") == len(said["regressions"])
        assert "did not pass" in page


class TestExtraction:
    def test_defects_go_to_one_side_only_and_nothing_that_evaluates_is_trained_on(self, plan: Plan, fab: Fab):
        do(plan, "extract")
        found = manifest(plan)
        learned = {one["sha256"] for one in found["images"] if one["why"] == "called defective"}
        old = {one["sha256"] for one in found["regression"]}
        assert learned and old and not learned & old
        trained_on = {one["wafer_id"] for one in found["images"] if one["file"].startswith("data/train")}
        recent = {one["wafer_id"] for one in found["images"] if one["file"].startswith("recent")}
        assert trained_on and recent and not trained_on & recent
        assert all(position("recent", wafer) < 0.1 for wafer in recent)

    def test_overturned_images_are_never_normal(self, plan: Plan, fab: Fab):
        overturned = {
            r["image_sha256"] for r in fab.rows() if r["decision"] != "PASS" and r["verdict"] == "good"
        }
        assert overturned, "production has no false alarm on these images: the test would show nothing"
        do(plan, "extract")
        normal = {one["sha256"] for one in manifest(plan)["images"] if one["file"].startswith("data/train")}
        assert normal and not normal & overturned
        assert manifest(plan)["left_out"]["not PASS each time, also where people overturned it"]

    def test_a_retraining_that_is_resumed_sees_the_window_that_it_began_with(self, plan: Plan, fab: Fab):
        do(plan, "extract")
        before = manifest(plan)
        again = begin(plan.config, "first", "manual", "later", now=plan.until + 1e6)
        assert again.until == plan.until
        do(again, "extract", force=True)
        assert manifest(again) == before

    def test_a_corrected_label_leaves_the_regression_set(self, plan: Plan, fab: Fab):
        do(plan, "extract")
        one = manifest(plan)["regression"][0]
        row = next(row for row in fab.rows() if row["image_sha256"] == one["sha256"])
        with fab.database.write() as connection:
            from service.store.tables import inspections, reviews

            connection.execute(
                reviews.update().where(reviews.c.inspection_id == row["id"]).values(verdict="good")
            )
            connection.execute(
                inspections.update().where(inspections.c.id == row["id"]).values(verdict="good")
            )
        do(plan, "extract", force=True)
        assert one["sha256"] not in {other["sha256"] for other in manifest(plan)["regression"]}

    def test_no_audited_image_is_an_error_that_says_what_to_do(self, fab: Fab, tmp_path: Path):
        config = settings_for(fab, tmp_path / "work", extract={"days": 1e-6})
        with pytest.raises(InputError, match="audit PASS images first"):
            do(begin(config, "first", "manual", "a test", now=1.0))


class TestValidation:
    def test_a_verdict_since_the_extraction_stops_the_training(self, plan: Plan, fab: Fab):
        do(plan, "extract")
        one = next(one for one in manifest(plan)["images"] if one["file"].startswith("data/train"))
        from tests.lifecycle.retraining.conftest import say

        say(fab.database, one["id"], "defect", "spot", user=2)
        with pytest.raises(InputError, match="not known to be normal any more"):
            do(plan, "validate")
        assert json.loads((plan.folder / "validate" / "validation.json").read_text())["passed"] is False

    def test_a_damaged_file_and_a_leak_are_named(self, plan: Plan, fab: Fab):
        do(plan, "extract")
        images = plan.folder / "extract" / "images"
        first, second = sorted((images / "data" / "train" / "good").iterdir())[:2]
        first.write_bytes(first.read_bytes()[:-500])
        # the same pixels in another file: a leak that no hash of files shows
        frozen = fab.frozen.parent / f"leak-{plan.folder.parent.parent.name}"
        for kind in ("good", "spot"):
            (frozen / kind).mkdir(parents=True)
            Image.fromarray(np.asarray(Image.open(second))).save(frozen / kind / "x.bmp")
        leaky = plan.config.model_copy(update={"frozen": [*plan.config.frozen, str(frozen)]})
        with pytest.raises(InputError) as caught:
            from lifecycle.retraining.validate import validate

            validate(begin(leaky, "first", "manual", "a test"))
        assert first.name in str(caught.value) and "changed since it was extracted" in str(caught.value)
        assert f"{second.name} is trained on and is the same picture as frozen/good/x.bmp" in str(
            caught.value
        )
        assert "called good and defective" in str(caught.value)

    def test_too_few_images_are_too_few(self, fab: Fab, tmp_path: Path):
        config = settings_for(fab, tmp_path / "work", checks={"least_normal": 5000})
        with pytest.raises(InputError, match=r"fewer than checks.least_normal=5000"):
            do(begin(config, "first", "manual", "a test"), "extract", "validate")
