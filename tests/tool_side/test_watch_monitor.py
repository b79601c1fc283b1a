"""The monitor beside the watch mode: a status file, and alarms said aloud."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from router.decision import REVIEW
from router.monitor import Reference
from tool_side.bundle.load import load_bundle
from tool_side.runtime.inspection import Inspection
from tool_side.runtime.inspector import Inspector
from tool_side.watch.monitor import WatchMonitors
from tool_side.watch.watch import WatchOptions, run_watch
from wafer_data.errors import InputError
from wafer_data.files import read_json, sha256_file, write_json


@pytest.fixture
def watched_bundle(write_bundle: Callable[..., Path], tmp_path: Path) -> Path:
    """A bundle that holds what its monitor compares with."""
    folder = write_bundle(tmp_path / "bundle")
    scores = np.exp(np.random.default_rng(0).normal(-3, 0.1, 100))
    path = folder / "monitor.json"
    write_json(path, Reference(tuple(scores), (0.03, 0.1), 0.02).to_dict())
    manifest = read_json(folder / "manifest.json")
    manifest["files"]["monitor.json"] = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
    write_json(folder / "manifest.json", manifest)
    return folder


def test_watching_keeps_the_status(
    watched_bundle: Path, tmp_path: Path, wafer: Callable[..., np.ndarray]
) -> None:
    images, status = tmp_path / "images", tmp_path / "status.json"
    images.mkdir()
    for seed in range(3):
        Image.fromarray(wafer(seed)).save(images / f"{seed}.png")
    run_watch(watched_bundle, images, WatchOptions(once=True, settle=0.05, poll=0.05, monitor=status))
    found = read_json(status)["recipes"]["default"]
    assert found["images"] == 3 and found["unjudged"] == 0 and found["alarms"] == []


def test_alarms_are_said_and_written_at_once(
    watched_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitors = WatchMonitors(Inspector(watched_bundle), tmp_path / "status.json")
    monitors.write([Inspection(source=f"{number}.png", decision=REVIEW) for number in range(50)])
    said = caplog.messages
    assert len(said) == 1 and said[0].startswith("ALARM at ") and "cannot be judged" in said[0]
    assert len(read_json(tmp_path / "status.json")["recipes"]["default"]["alarms"]) == 1


def test_images_of_an_unknown_recipe_are_not_counted(watched_bundle: Path, tmp_path: Path) -> None:
    monitors = WatchMonitors(Inspector(watched_bundle), tmp_path / "status.json")
    monitors.write([Inspection(source="a.png", decision=REVIEW, recipe="unknown")])
    monitors.close()
    assert read_json(tmp_path / "status.json")["recipes"]["default"]["images"] == 0


def test_a_bundle_without_reference_is_refused_with_what_to_do(inspector: Inspector, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="export it again"):
        WatchMonitors(inspector, tmp_path / "status.json")


def test_the_reference_is_sealed_with_the_bundle(watched_bundle: Path) -> None:
    assert set(load_bundle(watched_bundle).references) == {"default"}
    (watched_bundle / "monitor.json").write_text("{}")
    with pytest.raises(InputError, match=r"monitor\.json"):
        load_bundle(watched_bundle)
