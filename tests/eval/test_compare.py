"""`waferroute compare`: figures from finished reports, paired by image, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from eval.compare import compare_runs
from eval.metrics import PixelHistograms, fnr_at_fpr, image_auroc, paired_bootstrap
from eval.metrics.sketch_file import read_sketches, write_sketches
from wafer_data.errors import InputError
from waferroute.cli import main

NORMAL, DEFECT = 40, 30
LABELS = np.repeat([0, 1], [NORMAL, DEFECT])


def write_run(
    folder: Path, shift: float = 1.5, seed: int = 0, rows: np.ndarray | None = None, width: float = 1.0
) -> Path:
    """A run folder as `evaluate` leaves it, of made-up figures; `rows` are the test images it has, by number."""
    rows = np.arange(NORMAL + DEFECT) if rows is None else rows
    shared = np.random.default_rng(99).normal(size=NORMAL + DEFECT)  # what makes an image hard for every run
    own = np.random.default_rng(seed).normal(0, 0.3, NORMAL + DEFECT)
    scores = (shared + own + shift * LABELS)[rows]
    maps, masks = pixel_maps(seed, shift)
    histograms = PixelHistograms()
    histograms.update(maps[rows], masks[rows])
    images = [
        {
            "path": f"/somewhere/{row}.png",
            "sha256": f"{row:064x}",
            "label": int(LABELS[row]),
            "type": "crack" if LABELS[row] else "good",
            "scores": {"full": float(score), "lowres": float(score - own[row])},
            "routed_score": float(score),
            "decision": "PASS" if score < 1.2 else "REVIEW",
            "route": "full",
        }
        for row, score in zip(rows, scores, strict=True)
    ]
    models = {
        name: {
            "params": 1000,
            "input_size": 256,
            "image_auroc": image_auroc(LABELS[rows], scores),
            "pixel_auroc": histograms.auroc(),
            "pixel_aupro": histograms.aupro(),
            "latency_ms": {"p50": 1.25, "p99": 2.0},
        }
        for name in ("full", "lowres", "routed")
    }
    (folder / "report").mkdir(parents=True)
    write(folder / "report" / "predictions.json", {"schema": 1, "data_fingerprint": "f", "images": images})
    write(
        folder / "report" / "report.json",
        {"schema": 1, "data": {"name": "made up"}, "models": models, "routing": {}},
    )
    write_sketches(folder / "report" / "pixels.npz", {"full": dict(enumerate(histograms.sketches))})
    (folder / "config.yaml").write_text(
        f"run:\n  dir: {folder}\n  seed: {seed}\ndistill:\n  full:\n    width: {width}\n"
    )
    return folder


def pixel_maps(seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    masks = np.zeros((NORMAL + DEFECT, 16, 16), dtype=bool)
    masks[NORMAL:, 4:8, 3:9] = True
    return np.random.default_rng(seed).gamma(3.0, size=masks.shape) + shift * masks, masks


def write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A reference, a run about as good, and a far better one with another width."""
    return [
        write_run(tmp_path / "first"),
        write_run(tmp_path / "twin", seed=1),
        write_run(tmp_path / "better", shift=3.5, seed=2, width=2.0),
    ]


def test_figures_and_differences_are_those_of_the_scores(runs, tmp_path):
    found = compare_runs(runs, tmp_path / "out", resamples=200)
    assert found == read(tmp_path / "out" / "comparison.json")
    scores = [
        np.array([image["scores"]["full"] for image in read(run / "report/predictions.json")["images"]])
        for run in runs
    ]
    for run, values in zip(("first", "twin", "better"), scores, strict=True):
        full = found["runs"][run]["models"]["full"]
        assert full["image_auroc"] == pytest.approx(image_auroc(LABELS, values))
        assert full["fnr_at_fpr5"] == fnr_at_fpr(LABELS, values)
        assert full["intervals"]["image_auroc"][0] < full["image_auroc"] < full["intervals"]["image_auroc"][1]
    expected = paired_bootstrap({"a": image_auroc}, LABELS, scores[2], scores[0], n=200)["a"]
    difference = found["differences"]["better"]["models"]["full"]["image_auroc"]
    assert (difference["difference"], difference["low"], difference["high"]) == pytest.approx(
        (expected.difference, expected.low, expected.high)
    )


def test_a_clear_difference_is_told_from_an_open_one(runs, tmp_path):
    found = compare_runs(runs, tmp_path / "out", resamples=300)["differences"]
    assert found["better"]["models"]["full"]["image_auroc"]["verdict"] == "better"
    assert found["better"]["models"]["full"]["pixel_auroc"]["verdict"] == "better"
    assert found["better"]["decisions"]["fnr"]["verdict"] == "better"  # fewer misses
    assert found["twin"]["models"]["full"]["image_auroc"]["verdict"] == "open"
    assert "first" not in found


def test_the_other_way_round_it_is_worse(runs, tmp_path):
    found = compare_runs(runs, tmp_path / "out", reference=runs[2], resamples=300)
    assert found["reference"] == "better"
    metrics = found["differences"]["first"]["models"]["full"]
    assert metrics["image_auroc"]["verdict"] == metrics["fnr_at_fpr5"]["verdict"] == "worse"


def test_images_are_matched_by_content_whatever_their_order(runs, tmp_path):
    shuffled = write_run(tmp_path / "shuffled", rows=np.random.default_rng(5).permutation(NORMAL + DEFECT))
    metrics = compare_runs([runs[0], shuffled], tmp_path / "out", resamples=100)["differences"]["shuffled"][
        "models"
    ]
    for metric in ("image_auroc", "image_auprc", "fnr_at_fpr5", "pixel_auroc", "pixel_aupro"):
        found = metrics["full"][metric]
        assert (found["difference"], found["low"], found["high"]) == pytest.approx((0, 0, 0), abs=1e-6), (
            metric
        )


def test_pixel_metrics_are_those_of_the_report_where_it_speaks_of_the_same_images(runs, tmp_path):
    found = compare_runs(runs, tmp_path / "out", resamples=100)["runs"]["twin"]["models"]["full"]
    assert found["pixel_auroc"] == read(runs[1] / "report/report.json")["models"]["full"]["pixel_auroc"]
    assert found["intervals"]["pixel_auroc"][0] < found["pixel_auroc"] < found["intervals"]["pixel_auroc"][1]


def test_different_test_images_are_refused_with_the_number_in_common(runs, tmp_path):
    fewer = write_run(tmp_path / "fewer", rows=np.arange(10, 70))
    with pytest.raises(InputError, match=r"first 70, fewer 60\), and 60 are common to all: add --common"):
        compare_runs([runs[0], fewer], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_common_images_alone_are_compared_on_demand(runs, tmp_path):
    fewer = write_run(tmp_path / "fewer", seed=3, rows=np.arange(10, 70))
    found = compare_runs([runs[0], fewer], tmp_path / "out", only_common=True, resamples=100)
    assert found["images"] == {"common": 60, "normal": 30, "defect": 30, "tested": {"first": 70, "fewer": 60}}
    maps, masks = pixel_maps(0, 1.5)
    histograms = PixelHistograms()
    histograms.update(maps[10:], masks[10:])
    of_first = found["runs"]["first"]["models"]["full"]
    assert of_first["pixel_auroc"] == pytest.approx(histograms.auroc(), abs=1e-3)
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "The runs were not tested on the same images" in page


def test_nothing_in_common_and_one_class_in_common_are_errors(runs, tmp_path):
    def pair(*rows: np.ndarray) -> list[Path]:
        return [write_run(tmp_path / f"{part[0]}-{part[-1]}", rows=part) for part in rows]

    with pytest.raises(InputError, match="5 normal and 0 defective"):
        compare_runs(pair(np.r_[:35, 40:50], np.r_[30:40, 50:70]), tmp_path / "out", only_common=True)
    with pytest.raises(
        InputError, match="0 are common to all: their data sets or splits have nothing in common"
    ):
        compare_runs(pair(np.r_[:20, 40:55], np.r_[20:40, 55:66]), tmp_path / "out")


def test_runs_that_disagree_about_a_label_are_refused(runs, tmp_path):
    path = runs[1] / "report" / "predictions.json"
    content = read(path)
    content["images"][3]["label"] = 1
    write(path, content)
    with pytest.raises(InputError, match="1 images are defective in one of first and twin"):
        compare_runs(runs, tmp_path / "out")


def test_the_same_file_twice_in_a_test_set_is_two_images(runs, tmp_path):
    for run in runs[:2]:
        content = read(run / "report" / "predictions.json")
        content["images"][1]["sha256"] = content["images"][0]["sha256"]
        write(run / "report" / "predictions.json", content)
    assert compare_runs(runs[:2], tmp_path / "out", resamples=100)["images"]["common"] == 70


def test_settings_that_differ_are_listed_without_the_folder(runs, tmp_path):
    settings = compare_runs(runs, tmp_path / "out", resamples=100)["settings"]
    assert set(settings) == {"run.seed", "distill.full.width"}
    assert settings["distill.full.width"] == {"first": "1.0", "twin": "1.0", "better": "2.0"}


def test_settings_are_those_of_the_report_not_of_a_later_command(runs, tmp_path):
    for run, rate in zip(runs, (0.1, 0.2), strict=False):
        kept = {"provenance": {"config_text": f"router:\n  flag_rate: {rate}\n"}, "models": {}}
        write(run / "report" / "page.json", kept)
        (run / "config.yaml").write_text("router:\n  flag_rate: 0.5\n")
    settings = compare_runs(runs[:2], tmp_path / "out", resamples=100)["settings"]
    assert settings == {"router.flag_rate": {"first": "0.1", "twin": "0.2"}}


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for parent in ("monday", "tuesday"):
        write_run(tmp_path / parent / "run")
    found = compare_runs([tmp_path / "monday/run", tmp_path / "tuesday/run"], tmp_path / "out", resamples=100)
    assert set(found["runs"]) == {"monday/run", "tuesday/run"}


def test_the_page_needs_nothing_but_itself(runs, tmp_path):
    compare_runs(runs, tmp_path / "out", resamples=100)
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "http" not in page and str(tmp_path) not in page
    assert page.count("<svg") == 2 and "prefers-color-scheme: dark" in page
    assert "Full student" in page and "clearly better" in page


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda run: (run / "report/report.json").unlink(),
            r"report/report.json is missing\): run `waferroute evaluate`",
        ),
        (lambda run: (run / "report/predictions.json").write_text("{"), "not valid JSON"),
        (lambda run: (run / "report/predictions.json").write_text('{"images": []}'), "is incomplete"),
        (lambda run: (run / "report/pixels.npz").write_bytes(b"PK nonsense"), "pixels.npz is damaged"),
        (lambda run: (run / "config.yaml").write_text("a: [1"), "config.yaml cannot be read"),
    ],
)
def test_unfinished_and_damaged_runs_are_errors_that_name_them(runs, tmp_path, break_it, message):
    break_it(runs[1])
    with pytest.raises(InputError, match=message):
        compare_runs(runs[:2], tmp_path / "out")


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    with pytest.raises(InputError, match="at least two runs"):
        compare_runs(runs[:1], tmp_path / "out")
    with pytest.raises(InputError, match="given 2 times"):
        compare_runs([runs[0], runs[0]], tmp_path / "out")
    with pytest.raises(InputError, match="none of the runs"):
        compare_runs(runs[:2], tmp_path / "out", reference=runs[2])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"not of a comparison \(chapter.txt\)"):
        compare_runs(runs, tmp_path / "thesis")


def test_sketches_survive_their_file(tmp_path):
    histograms = PixelHistograms()
    histograms.update(*pixel_maps(0, 1.0))
    kept = {row + 3: sketch for row, sketch in enumerate(histograms.sketches)}
    write_sketches(tmp_path / "pixels.npz", {"full": kept, "lowres": {0: kept[3]}})
    again = read_sketches(tmp_path / "pixels.npz")
    assert set(again) == {"full", "lowres"} and list(again["full"]) == list(kept)
    for row, sketch in kept.items():
        np.testing.assert_array_equal(again["full"][row].scores, sketch.scores)
        np.testing.assert_array_equal(again["full"][row].weights, sketch.weights)
        assert again["full"][row].regions == sketch.regions


class TestCommand:
    def test_prints_what_it_found(self, runs, tmp_path, capsys):
        assert main(["compare", *map(str, runs), "--out", str(tmp_path / "out")]) == 0
        said = capsys.readouterr().out
        assert "70 common test images: 40 normal, 30 defective" in said
        assert "reference: first" in said and "better full: AUROC +0" in said

    def test_json_is_all_that_goes_to_standard_output(self, runs, tmp_path, capsys):
        arguments = ["compare", *map(str, runs[:2]), "--out", str(tmp_path / "out"), "--json"]
        assert main([*arguments, "--reference", str(runs[1])]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found == read(tmp_path / "out" / "comparison.json") and found["reference"] == "twin"

    def test_wrong_input_is_status_2_with_a_sentence(self, runs, tmp_path, capsys):
        assert main(["compare", str(runs[0]), str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
        assert "holds no finished evaluation" in capsys.readouterr().err
