"""An error analysis as a whole, on the small synthetic run: what is written, what the page shows, what is refused."""

import json
import re
import shutil
from pathlib import Path

import pytest

import eval.errors.gallery
from eval.config import EvalConfig
from eval.errors import analyse_errors
from eval.errors.levers import first_that_changes
from eval.tool_run import BundleStudents
from router.config import RouterConfig
from wafer_data.errors import InputError
from wafer_data.store import ImageStore

ROUTER = RouterConfig(escalation_target=0.2, escalation_budget=[0.05, 0.5], flag_rate=0.1)
QUICK = EvalConfig(bootstrap=100)


def analysed(run: Path, out: Path, model: str = "routed") -> tuple[dict, str]:
    content = analyse_errors(run, out, model, ROUTER, QUICK)
    return content, (out / "errors.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory):
    return analysed(tiny_run, tmp_path_factory.mktemp("errors") / "out")


class TestWhatIsFound:
    def test_every_error_is_listed_once_and_belongs_to_a_mode(self, whole, tiny_run):
        content, _ = whole
        counts, errors, modes = content["counts"], content["errors"], content["modes"]
        assert len(errors) == counts["missed"] + counts["false_alarms"] > 0
        assert len({error["index"] for error in errors}) == len(errors)
        for mode in modes:
            members = [error for error in errors if error["mode"] == mode["key"]]
            assert len(members) == mode["count"] and mode["mitigation"]
            of_kind = counts["missed" if mode["kind"] == "missed" else "false_alarms"]
            assert mode["share"] == pytest.approx(mode["count"] / of_kind)
        assert sum(mode["count"] for mode in modes) == len(errors)
        assert [mode["top"] for mode in modes] == [i < 3 for i in range(len(modes))]

    def test_decisions_are_those_of_the_calibrated_policy(self, whole, tiny_run):
        content, _ = whole
        policy = json.loads((tiny_run / "router/policy.json").read_text())
        for name in ("escalate_above", "review_above", "reject_above"):
            assert content["operating_point"][name] == policy[name]
        for error in content["errors"]:
            assert (error["decision"] == "PASS") == (error["kind"] == "missed")
            assert (error["route"] == "never escalated") <= (error["decision"] == "PASS")

    def test_types_add_up(self, whole):
        content, _ = whole
        assert sum(row["defects"] for row in content["types"]) == content["counts"]["test_defects"]
        assert sum(row["missed"] for row in content["types"]) == content["counts"]["missed"]
        assert {content["easiest"]["type"], content["hardest"]["type"]} == {"particle", "scratch"}

    def test_the_page_needs_nothing_but_itself(self, whole):
        content, page = whole
        assert not re.search(r'(?:src|href)="(?!data:|#)', page)
        assert "http" not in re.sub(r"data:[^\"]*", "", page)
        shots = page.count('class="card shot"')
        assert shots == len(content["errors"]) == sum(content["shown"].values())
        assert page.count('alt="reconstruction"') == page.count('alt="heat map"') > 0

    def test_the_full_student_alone_has_its_own_threshold(self, tiny_run, tmp_path):
        content, page = analysed(tiny_run, tmp_path / "full", "full")
        assert "escalate_above" not in content["operating_point"]
        routes = {error["route"] for error in content["errors"]}
        assert routes <= {"full student alone", "refused by the gate"}
        assert "The full student alone" in page


class TestWhatMayBeMissing:
    def test_masks_and_image_decoders(self, tiny_run, tmp_path, monkeypatch):
        monkeypatch.setattr(ImageStore, "mask", lambda self, index: None)
        monkeypatch.setattr(BundleStudents, "reconstruct", lambda self, route, seen: None)
        content, page = analysed(tiny_run, tmp_path / "bare")
        assert all(error["defect"] is None for error in content["errors"])
        assert 'alt="reconstruction"' not in page and "no student has an image decoder" in page
        assert "Without masks" in content["hardest"]["reason"]

    def test_defects(self, tiny_run, tmp_path):
        content, page = analysed(without(tiny_run, tmp_path, label=1), tmp_path / "out")
        assert content["counts"]["test_defects"] == 0 and content["counts"]["fnr"] is None
        assert content["types"] == [] and content["easiest"] is None
        assert "By defect type" not in page

    def test_normals(self, tiny_run, tmp_path):
        content, _ = analysed(without(tiny_run, tmp_path, label=0), tmp_path / "out")
        assert content["counts"]["fpr"] is None

    def test_a_second_type(self, tiny_run, tmp_path):
        run = without(tiny_run, tmp_path, kind="scratch")
        content, page = analysed(run, tmp_path / "out")
        assert len(content["types"]) == 1 and content["easiest"] is None
        assert "one type only" in page

    def test_pictures_beyond_the_limit(self, tiny_run, tmp_path, monkeypatch):
        monkeypatch.setattr(eval.errors.gallery, "MOST", 1)
        content, page = analysed(tiny_run, tmp_path / "few")
        assert set(content["shown"].values()) <= {0, 1}
        assert page.count('class="card shot"') == sum(content["shown"].values())
        assert "errors.json lists all" in page


class TestWhatIsRefused:
    def test_a_run_without_calibration(self, tiny_run, tmp_path):
        run = copied(tiny_run, tmp_path)
        shutil.rmtree(run / "router")
        with pytest.raises(InputError, match="waferroute calibrate"):
            analyse_errors(run, tmp_path / "out", "routed", ROUTER, QUICK)
        assert not (tmp_path / "out").exists()

    def test_a_run_without_its_bundle(self, tiny_run, tmp_path):
        run = copied(tiny_run, tmp_path)
        shutil.rmtree(run / "bundle")
        with pytest.raises(InputError, match="waferroute export"):
            analyse_errors(run, tmp_path / "out", "routed", ROUTER, QUICK)

    def test_a_folder_with_other_things(self, tiny_run, tmp_path):
        (tmp_path / "mine.txt").write_text("keep me")
        with pytest.raises(InputError, match=r"mine\.txt"):
            analyse_errors(tiny_run, tmp_path, "routed", ROUTER, QUICK)
        assert (tmp_path / "mine.txt").exists()


def test_no_change_is_proposed_for_nothing():
    import numpy as np

    assert first_that_changes([], np.array([1, 2])) is None
    assert first_that_changes([], np.array([], int)) is None


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "run"))


def without(run: Path, folder: Path, label: int | None = None, kind: str | None = None) -> Path:
    """A copy of the run whose test images of a label or a type have moved to the training split's defects."""
    copy = copied(run, folder)
    path = copy / "data" / "split.json"
    content = json.loads(path.read_text())
    for record in content["records"]:
        if record["split"] == "test" and (record["label"] == label or record["type"] == kind):
            record["split"] = "train"
            record["label"] = 1
    path.write_text(json.dumps(content))
    return copy
