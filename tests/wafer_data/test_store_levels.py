"""Images that use a small part of their files' range are given out in more of it, all of them alike."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from wafer_data import arrays, files
from wafer_data.config import DataConfig
from wafer_data.imaging.read import read_grey, to_square
from wafer_data.store import ImageStore, prepare_data

SaveImage = Callable[..., Path]


def mvtec(root: Path) -> DataConfig:
    return DataConfig(format="mvtec", root=str(root)).at_size(32)


@pytest.fixture
def twelve_bit(mvtec_root: Path, save: SaveImage) -> Path:
    """The same images as a 12-bit camera would write them into 16-bit files."""
    for path in [*mvtec_root.glob("train/*/*.png"), *mvtec_root.glob("test/*/*.png")]:
        save(path, read_grey(path).astype(np.uint16) * 16)
    return mvtec_root


def test_every_image_is_what_the_levels_make_of_its_file(twelve_bit: Path, tmp_path: Path) -> None:
    data = prepare_data(mvtec(twelve_bit), tmp_path / "data")
    assert not data.levels.unchanged
    assert data.levels.white < 0.1
    for index, record in enumerate(data.records):
        expected = data.levels.apply(to_square(read_grey(record.path), 32))
        np.testing.assert_array_equal(data.grey(index), expected)
    everything = data.batch(np.arange(len(data)))
    assert 0.3 < everything.mean() < 0.7
    assert everything.std() > 0.1


def test_they_are_recorded_and_read_back(twelve_bit: Path, tmp_path: Path) -> None:
    prepared = prepare_data(mvtec(twelve_bit), tmp_path / "data")
    assert files.read_json(tmp_path / "data/split.json")["levels"] == asdict(prepared.levels)
    assert ImageStore.open(tmp_path / "data").levels == prepared.levels


def test_only_training_normals_decide(twelve_bit: Path, tmp_path: Path, save: SaveImage) -> None:
    original = prepare_data(mvtec(twelve_bit), tmp_path / "one").levels
    for path in twelve_bit.glob("test/*/*.png"):
        save(path, 65535 - read_grey(path))
    assert prepare_data(mvtec(twelve_bit), tmp_path / "two").levels == original


def test_a_dark_image_among_bright_ones_stays_dark(twelve_bit: Path, tmp_path: Path, save: SaveImage) -> None:
    dark = twelve_bit / "test/good/000.png"
    save(dark, read_grey(dark) // 4)
    data = prepare_data(mvtec(twelve_bit), tmp_path / "data")
    means = {Path(r.path): data.grey(i).mean() for i, r in enumerate(data.records) if r.type == "good"}
    assert means[dark] < 0.2 < 0.3 < min(mean for path, mean in means.items() if path != dark)


def test_stretched_8_bit_images_need_16_bits(mvtec_root: Path, tmp_path: Path, save: SaveImage) -> None:
    assert prepare_data(mvtec(mvtec_root), tmp_path / "ordinary").dtype == np.uint8
    for path in mvtec_root.glob("*/*/*.png"):
        if path.parent.parent.name != "ground_truth":
            save(path, 100 + read_grey(path) // 8)
    data = prepare_data(mvtec(mvtec_root), tmp_path / "faint")
    assert np.load(tmp_path / "faint/images.npy").dtype == np.uint8
    assert data.dtype == np.uint16
    held = arrays.to_grey(arrays.to_counts(data.grey(0), 16))
    np.testing.assert_array_equal(held, data.grey(0))
