"""Leaving types out of a finished run, and the folder that comes of it."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.novelty import NoveltySettings, assess_novelty
from eval.novelty.frozen import scores
from eval.novelty.measure import open_route
from eval.run import FinishedRun
from router.config import RouterConfig
from router.route_scores import STUDENTS, RouteScores
from student_vae import load_student
from wafer_data.errors import InputError

ROUTER = RouterConfig(escalation_target=0.2, escalation_budget=[0.05, 0.5], flag_rate=0.1)
SETTINGS = NoveltySettings(per_type=3, rate=1e-3, draws=500, epochs=2)


@pytest.fixture(scope="module")
def whole(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("novelty") / "out"
    content = assess_novelty(tiny_run, out, SETTINGS, ROUTER)
    return content, (out / "novelty.html").read_text(encoding="utf-8"), out


class TestLeavingOut:
    def test_every_type_is_judged_without_and_with_labels_of_the_others(self, whole):
        held = whole[0]["held_out"]
        assert [one["type"] for one in held["without"]] == ["particle", "scratch"]
        assert [one["labels"] for one in held["labelled"]] == [3, 3]
        assert held["labels_from"] == "test"
        for one in (*held["without"], *held["labelled"]):
            assert one["images"] == 6 and 0 <= one["auroc"] <= 1
            assert one["interval"][0] <= one["detection_rate"] <= one["interval"][1]

    def test_the_fit_without_labels_is_the_runs_own(self, tiny_run, whole):
        run = FinishedRun(tiny_run)
        route, none = open_route(run, ROUTER), np.array([], int)
        students = route.students
        again = {name: scores(students.fit(name, none, none, 0), students.test[name]) for name in STUDENTS}
        own = scores(load_student(tiny_run / "full").likelihood, students.test["full"])
        assert again["full"] == pytest.approx(own, rel=1e-3)
        judged = RouteScores(**again, refused=students.refused_test).under(run.policy)
        normal = route.chosen.truth == 0
        assert whole[0]["held_out"]["false_alarms"]["flagged"] == int((~judged.passed[normal]).sum())

    def test_labels_of_the_training_split_are_used_where_there_are_any(self, tiny_run, tmp_path):
        run = relabelled(tiny_run, tmp_path, keep=3)
        content = assess_novelty(run, tmp_path / "out", SETTINGS, ROUTER)
        assert content["held_out"]["labels_from"] == "training"
        assert content["trained_with_labels"] == 6
        assert [one["labels"] for one in content["held_out"]["labelled"]] == [3, 3]
        assert [one["images"] for one in content["held_out"]["without"]] == [3, 3]

    def test_one_type_alone_is_judged_without_labels_only(self, tiny_run, tmp_path):
        run = relabelled(tiny_run, tmp_path, one_type=True)
        content = assess_novelty(run, tmp_path / "out", SETTINGS, ROUTER)
        assert content["held_out"]["labelled"] is None and content["times"]["labelled"] is None
        assert len(content["times"]["without"]) == 1


class TestTheFolder:
    def test_holds_page_figures_and_a_picture_that_stands_alone(self, whole):
        _, page, out = whole
        assert {path.name for path in out.iterdir()} == {"novelty.html", "novelty.json", "delay.svg"}
        assert not re.search(r'(?:src|href)="(?!data:|#)', page)
        picture = (out / "delay.svg").read_text()
        assert picture.startswith("<svg xmlns=") and "--defect:" in picture

    def test_says_where_the_days_of_today_come_from(self, whole):
        content, page, _ = whole
        assert content["reported_today"] == {
            "days": 11.0,
            "source": "as reported by the fab, not measured here",
        }
        assert "11 days" in page and "as reported by the fab" in page

    def test_a_test_set_without_defects_is_refused(self, tiny_run, tmp_path):
        run = relabelled(tiny_run, tmp_path, keep=100)
        with pytest.raises(InputError, match="no defective image"):
            assess_novelty(run, tmp_path / "out", SETTINGS, ROUTER)
        assert not (tmp_path / "out").exists()

    def test_a_folder_with_other_things_is_left_alone(self, tiny_run, tmp_path):
        (tmp_path / "mine.txt").write_text("keep me")
        with pytest.raises(InputError, match=r"mine\.txt"):
            assess_novelty(tiny_run, tmp_path, SETTINGS, ROUTER)


def relabelled(run: Path, folder: Path, keep: int = 0, one_type: bool = False) -> Path:
    """A copy of the run with `keep` test defects of each type moved to training, or all types called one."""
    copy = Path(shutil.copytree(run, folder / "run"))
    path = copy / "data" / "split.json"
    content = json.loads(path.read_text())
    moved: dict[str, int] = {}
    for record in content["records"]:
        if record["split"] != "test" or record["label"] != 1:
            continue
        if one_type:
            record["type"] = "defect"
        moved[record["type"]] = moved.get(record["type"], 0) + 1
        if moved[record["type"]] <= keep:
            record["split"] = "train"
    path.write_text(json.dumps(content))
    return copy
