"""Synthetic images whose defects are a hue alone, from folder to tool, on a tiny backbone with random weights."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.colour_images import coloured_wafer, write_coloured_folder
from tests.conftest import small_run
from tool_side import Inspector, load_bundle
from tool_side.bench.images import prepare_images
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.store import ImageStore, prepare_data

pytestmark = pytest.mark.end_to_end


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "waferroute", *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coloured_folder(tmp_path_factory.mktemp("coloured"), normals=60, tests=10, defects=10)


@pytest.fixture(scope="module")
def run(images: Path, tiny_teacher_config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colour")
    content = small_run(images, tiny_teacher_config, generated=120) | {"run": {"dir": str(folder / "run")}}
    content["data"] |= {"colour": True}
    content["eval"] |= {"baselines": ["pca", "pixel_vae"], "pixel_vae": {"epochs": 1}}
    (folder / "colour.yaml").write_text(yaml.safe_dump(content))
    done = command("run", str(folder / "colour.yaml"), "--json")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_hue_is_found_in_colour_and_missed_in_grey(
    run: Path, images: Path, tiny_teacher_config, tmp_path: Path
):
    from eval.metrics import image_auroc
    from likelihood.arrays import on_arrays
    from teacher.fit import fit_teacher

    report = json.loads((run / "report/report.json").read_text())
    for name in ("teacher", "full", "routed"):
        assert report["models"][name]["image_auroc"] > 0.95, name
    assert report["models"]["teacher"]["pixel_auroc"] > 0.9
    grey = prepare_data(
        DataConfig(format="mvtec", root=str(images), calibration_fraction=0.4), tmp_path / "data"
    )
    teacher = on_arrays(fit_teacher(tiny_teacher_config, grey, tmp_path / "teacher"))
    rows = grey.indices("test")
    labels = np.array([grey.records[int(i)].label for i in rows])
    assert image_auroc(labels, teacher(grey.batch(rows)).score) < 0.8


def test_the_tool_decides_as_the_report_says_and_both_as_pytorch(run: Path):
    parity = json.loads((run / "report/parity.json").read_text())
    assert parity["images"] == 20
    assert parity["decisions_differ"] == parity["routes_differ"] == 0
    inspector = Inspector(load_bundle(run / "bundle"))
    for image in json.loads((run / "report/predictions.json").read_text())["images"]:
        found = inspector.inspect(image["path"])
        assert (found.decision, found.route) == (image["decision"], image["route"])


def test_files_and_arrays_in_either_order_are_one_image_to_the_tool(run: Path, tmp_path: Path):
    image, _ = coloured_wafer(np.random.default_rng(5))
    Image.fromarray(image).save(tmp_path / "image.png")
    inspector = Inspector(run / "bundle")
    prepared = inspector.prepare(tmp_path / "image.png")
    assert prepared.shape == (3, 256, 256)
    np.testing.assert_array_equal(inspector.prepare(image), prepared)
    blue_first = Inspector(run / "bundle", channel_order="bgr")
    np.testing.assert_array_equal(blue_first.prepare(np.ascontiguousarray(image[:, :, ::-1])), prepared)
    found = inspector.inspect(image, reconstruction=True, keep_image=True)
    assert found.reconstruction is not None and found.reconstruction.shape == (3, 256, 256)


def test_a_grey_image_is_one_of_equal_channels_and_other_shapes_are_review(run: Path):
    image, _ = coloured_wafer(np.random.default_rng(5))
    inspector = Inspector(run / "bundle")
    grey = inspector.prepare(image[:, :, 0])
    assert (grey[0] == grey[1]).all() and (grey[0] == grey[2]).all()
    for strange in (image[:, :, :2], np.moveaxis(image, 2, 0)):
        found = inspector.inspect(np.ascontiguousarray(strange))
        assert found.decision == "REVIEW" and "use (H, W)" in found.reasons[0]


def test_inspect_and_bench_take_a_colour_bundle_and_verify_knows_it(run: Path, tmp_path: Path):
    image, _ = coloured_wafer(np.random.default_rng(9), defect=True)
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in/hue.png")
    bundle, maps = str(run / "bundle"), tmp_path / "maps"
    done = command("inspect", bundle, str(tmp_path / "in"), "--json", "--heatmaps", str(maps))
    assert done.returncode in (0, 3), done.stderr
    (row,) = (json.loads(line) for line in done.stdout.splitlines())
    assert row["decision"] != "PASS"
    with Image.open(next(maps.rglob("*.png"))) as drawn:
        corner = np.asarray(drawn)[:8, :8].astype(float).mean((0, 1))
    assert corner[0] - corner[2] > 30  # the orange surface is orange under the heat map
    assert json.loads((run / "bundle/manifest.json").read_text())["preprocessing"]["colour"] is True
    done = command("verify", bundle)
    assert done.returncode == 0, (done.stdout, done.stderr)
    measured = prepare_images([], Inspector(bundle), tmp_path)
    assert measured.inputs.shape == (32, 3, 256, 256) and measured.unreadable == 0


def test_watched_files_are_judged_as_inspected_ones(run: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    for i, defect in enumerate((False, True)):
        image, _ = coloured_wafer(np.random.default_rng(20 + i), defect)
        Image.fromarray(image).save(tmp_path / f"in/{i}.png")
    bundle, table = str(run / "bundle"), tmp_path / "out.csv"
    watched = command("inspect", bundle, "--watch", str(tmp_path / "in"), "--csv", str(table), "--once")
    assert watched.returncode in (0, 3), watched.stderr
    with table.open(newline="") as file:
        seen = {row["source"]: row["decision"] for row in csv.DictReader(file)}
    inspector = Inspector(bundle)
    assert seen == {path: inspector.inspect(path).decision.value for path in seen} and len(seen) == 2


def test_a_bundle_whose_graphs_see_grey_is_refused_where_its_manifest_says_colour(run: Path, tmp_path: Path):
    copy = Path(shutil.copytree(run / "bundle", tmp_path / "bundle"))
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["preprocessing"]["colour"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="does not run"):
        Inspector(copy)


def test_the_service_and_its_review_page_show_the_colours(run: Path, tmp_path: Path):
    from starlette.testclient import TestClient

    from service.app import create_app, open_service
    from service.auth.keys import make_key
    from service.models import load_version
    from service.reading import find_inspection
    from service.review.pictures import original
    from service.settings import Settings
    from service.store.migrate import migrate

    image, _ = coloured_wafer(np.random.default_rng(9), defect=True)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    (tmp_path / "data").mkdir()
    service = open_service(Settings(data=tmp_path / "data", node="a"), load_version(run / "bundle", "v1.0.0"))
    migrate(service.database)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read"])
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        place = {"wafer_id": "W1", "inspection_point": "7"}
        answer = client.post("/api/v1/inspect", params=place, content=buffer.getvalue()).json()
        assert answer["decision"] != "PASS"
        assert client.get("/readyz").status_code == 200
        heat = Image.open(io.BytesIO(client.get(answer["heatmap_url"]).content))
        assert heat.size == (256, 256) and heat.mode == "RGB"
        shown = Image.open(io.BytesIO(original(service, find_inspection(service, answer["id"]))))
    np.testing.assert_array_equal(np.asarray(shown), image)


def test_what_does_not_know_colour_says_so(run: Path, tmp_path: Path):
    from tool_side.triton.repository import export_triton

    with pytest.raises(InputError, match="see images in colour"):
        export_triton(run / "bundle", tmp_path / "models")


def test_errors_are_analysed_and_the_page_shows_them_in_colour(run: Path, tmp_path: Path):
    from eval.errors.run import analyse_errors

    analyse_errors(run, tmp_path / "errors")
    assert any((tmp_path / "errors").rglob("*.html"))
    store = ImageStore.open(run / "data")
    assert store.channels == 3 and store.grey(0).shape == (256, 256)
