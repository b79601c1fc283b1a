"""The stages of a run: order, who reads whom, and which settings undo which results."""

from pathlib import Path

import grimp
import numpy as np
import pytest
from PIL import Image

from wafer_data.errors import InputError
from wafer_data.log import PACKAGES
from waferroute.config import load_config
from waferroute.stages import all_stages, image_listing

ORDER = ["data", "adapt", "intermediate", "target", "full", "lowres", "calibrate", "export", "evaluate"]


@pytest.fixture
def config_with(tmp_path: Path):
    images = tmp_path / "images"
    images.mkdir()
    for index in range(3):
        grey = np.random.default_rng(index).integers(0, 255, (20, 20), dtype=np.uint8)
        Image.fromarray(grey).save(images / f"{index}.png")
    path = tmp_path / "config.yaml"
    path.write_text(f"run:\n  dir: {tmp_path / 'run'}\ndata:\n  format: folder\n  root: {images}\n")
    return lambda *overrides: load_config(path, overrides)


def test_every_stage_comes_after_those_it_reads():
    names = [stage.name for stage in all_stages()]
    assert names == ORDER
    for stage in all_stages():
        assert all(names.index(name) < names.index(stage.name) for name in stage.inputs)


# Where the work of a stage begins, and packages that it only checks its input with or reads a name of.
ENTRIES = {
    "data": ("wafer_data.store", set()),
    "adapt": ("teacher.fit", set()),
    "full": ("distill.stages", {"router"}),
    "calibrate": ("distill.calibration", set()),
    "evaluate": ("eval.evaluate", set()),
    "export": ("tool_side.export.write", set()),
}


def test_stages_name_every_package_that_their_work_imports():
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    by_name = {stage.name: stage for stage in all_stages()}
    for name, (entry, read_only) in ENTRIES.items():
        used = {module.partition(".")[0] for module in graph.find_upstream_modules(entry)}
        assert used - read_only <= set(by_name[name].packages), name


def test_no_two_stages_share_a_folder():
    folders = [stage.folder for stage in all_stages()]
    assert len(set(folders)) == len(folders)


def test_messages_give_the_command_with_its_configuration():
    commands = {stage.name: stage.command for stage in all_stages("mine.yaml run.seed=1")}
    assert commands["adapt"] == "waferroute adapt mine.yaml run.seed=1"
    assert commands["lowres"] == "waferroute distill mine.yaml run.seed=1"


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("data.test_fraction=0.3", {"data", "export"}),
        ("teacher.directions=16", {"adapt", "export"}),
        ("teacher.offline=false", set()),
        ("distill.full.epochs=3", {"full", "export"}),
        ("distill.lowres.epochs=3", {"lowres", "export"}),
        ("distill.target.epochs=3", {"target", "export"}),
        ("distill.pool.generated=3", {"intermediate", "target", "full", "lowres", "export"}),
        ("distill.wandb=disabled", set()),
        ("distill.cache_gb=1", set()),
        ("router.confidence=0.9", {"calibrate", "export"}),
        ("eval.worst=2", {"evaluate"}),
        ("run.dir=elsewhere", set()),
    ],
)
def test_a_setting_changes_the_stages_that_depend_on_it_and_no_other(config_with, override, changed):
    """The bundle's manifest states the hash of the configuration, so whatever changes the result changes export."""
    before, after = config_with(), config_with(override)
    differing = {stage.name for stage in all_stages() if stage.settings(before) != stage.settings(after)}
    assert differing == changed


def test_too_few_calibration_images_stop_a_run_before_it_trains(config_with, monkeypatch, tmp_path):
    class FewImages:
        def counts(self):
            return {"calibration_normal": 12}

    monkeypatch.setattr("waferroute.stages._store", lambda run_dir: FewImages())
    monkeypatch.setattr("teacher.fit.fit_teacher", lambda *_: pytest.fail("trained"))
    adapt = next(stage for stage in all_stages() if stage.name == "adapt")
    with pytest.raises(InputError, match="12 calibration normals are too few"):
        adapt.function(config_with(), tmp_path)


class TestImageListing:
    def test_is_the_same_for_the_same_files(self, config_with):
        assert image_listing(config_with()) == image_listing(config_with())

    def test_changes_with_a_new_image(self, config_with, tmp_path):
        before = image_listing(config_with())
        Image.new("L", (20, 20)).save(tmp_path / "images" / "new.png")
        assert image_listing(config_with()) != before

    def test_changes_with_a_changed_image(self, config_with, tmp_path):
        before = image_listing(config_with())
        Image.new("L", (30, 30)).save(tmp_path / "images" / "0.png")
        assert image_listing(config_with()) != before

    def test_changes_when_an_image_changes_sides(self, config_with, tmp_path):
        before = image_listing(config_with())
        defects = tmp_path / "images" / "bad"
        defects.mkdir()
        (tmp_path / "images" / "0.png").rename(defects / "0.png")
        assert image_listing(config_with(f"data.defects={defects}")) != before
