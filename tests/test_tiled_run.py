"""Large synthetic images with small defects, from folder to tool, on a tiny backbone with random weights."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.conftest import small_run
from tests.large_images import SIDE, corner, large_image, write_large_folder
from tool_side import Inspector, load_bundle
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.store import prepare_data

pytestmark = pytest.mark.end_to_end


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "waferroute", *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_large_folder(tmp_path_factory.mktemp("large"), normals=36, tests=6, defects=8)


@pytest.fixture(scope="module")
def config_file(images: Path, tiny_teacher_config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    content = small_run(images, tiny_teacher_config, generated=60) | {"run": {"dir": "unused"}}
    content["teacher"] |= {"exact_symmetry": 0.5}
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def run(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiled") / "run"
    done = command("run", str(config_file), f"run.dir={folder}", "--json")
    assert done.returncode == 0, done.stderr
    assert "4 tiles (2 x 2) of 256 pixels" in done.stderr
    return folder


def test_a_defect_is_found_in_tiles_that_is_lost_in_the_shrunk_image(
    run: Path, images: Path, tiny_teacher_config, tmp_path: Path
):
    from eval.metrics import image_auroc
    from likelihood.arrays import on_arrays
    from teacher.fit import fit_teacher

    report = json.loads((run / "report/report.json").read_text())
    assert report["models"]["teacher"]["image_auroc"] > 0.95
    assert report["models"]["teacher"]["pixel_auroc"] > 0.95
    shrunk = prepare_data(
        DataConfig(format="mvtec", root=str(images), calibration_fraction=0.4, tiling="never"),
        tmp_path / "data",
    )
    teacher = on_arrays(fit_teacher(tiny_teacher_config, shrunk, tmp_path / "teacher"))
    rows = shrunk.indices("test")
    found = teacher(shrunk.batch(rows)).score
    labels = np.array([shrunk.records[int(i)].label for i in rows])
    assert image_auroc(labels, found) < 0.9


def test_the_tool_decides_as_the_report_says_and_both_as_pytorch(run: Path):
    parity = json.loads((run / "report/parity.json").read_text())
    assert parity["images"] == 14
    assert parity["decisions_differ"] == parity["routes_differ"] == 0
    inspector = Inspector(load_bundle(run / "bundle"))
    for image in json.loads((run / "report/predictions.json").read_text())["images"]:
        found = inspector.inspect(image["path"])
        assert (found.decision, found.route) == (image["decision"], image["route"])
        assert len(image["tile_scores"]["lowres"]) == found.evidence["tiles"]["count"] == 4


def test_counts_certificate_and_escalation_say_what_they_count(run: Path):
    report = json.loads((run / "report/report.json").read_text())
    certificate = json.loads((run / "router/certificate.json").read_text())
    assert (report["data"]["test_normal"], report["data"]["test_defect"]) == (6, 8)
    assert (
        certificate["sample"]["normals"] + certificate["gate"]["refused"]
        == report["data"]["calibration_normal"]
    )
    assert certificate["sample"]["tiles"] == 4 * certificate["sample"]["normals"]
    assert certificate["escalation"]["unit"] == "tiles"
    checked = command("certificate", str(run))
    assert checked.returncode == 0, checked.stderr
    assert "Tiles of normal images escalated" in checked.stdout


def test_inspect_gives_one_line_a_file_and_a_picture_of_the_whole_image(run: Path, tmp_path: Path):
    rng = np.random.default_rng(9)
    spot = corner(rng)
    Image.fromarray(large_image(rng, spot)).save(tmp_path / "turned.png")
    Image.fromarray(large_image(rng)[: SIDE // 2]).save(tmp_path / "half.png")
    done = command(
        "inspect", str(run / "bundle"), str(tmp_path), "--json", "--heatmaps", str(tmp_path / "maps")
    )
    assert done.returncode == 3, done.stderr  # half an image is no image of the recipe
    half, turned = (json.loads(line) for line in done.stdout.splitlines())
    assert half["decision"] == "REVIEW" and "trained on 768 x 768" in half["reasons"][0]
    assert turned["evidence"]["tiles"]["count"] == 4
    with Image.open(tmp_path / "maps/turned.png.heatmap.png") as drawn:
        assert drawn.size == (448, 448)
    assert not (tmp_path / "maps/half.png.heatmap.png").exists()


def test_the_page_can_be_made_again_and_what_knows_no_tiles_says_so(run: Path, tmp_path: Path):
    from eval.errors.run import analyse_errors
    from eval.novelty.run import assess_novelty
    from eval.report.run import remake_report
    from eval.tradeoff.config import FabConfig

    copy = Path(shutil.copytree(run, tmp_path / "run"))  # what is made by hand is no stage's result
    before = json.loads((copy / "report/page.json").read_text())
    remake_report(copy, FabConfig())
    assert json.loads((copy / "report/page.json").read_text())["models"] == before["models"]
    for analyse in (analyse_errors, assess_novelty):
        with pytest.raises(InputError, match="does not know tiles"):
            analyse(run, tmp_path / analyse.__name__)
        assert not (tmp_path / analyse.__name__).exists()


def test_the_next_run_skips_what_is_done(run: Path, config_file: Path):
    done = command("run", str(config_file), f"run.dir={run}", "--json")
    assert done.returncode == 0, done.stderr
    assert {stage["status"] for stage in json.loads(done.stdout)["stages"]} == {"skipped"}
