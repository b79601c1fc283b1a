"""Large images in a prepared data set: split by image, looked at by tile, and no tile of two kinds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wafer_data import files
from wafer_data.config import DataConfig
from wafer_data.errors import DataError, InputError
from wafer_data.imaging.read import read_grey, to_square
from wafer_data.imaging.tiling import TiledImage
from wafer_data.store import ImageStore, prepare_data
from wafer_data.training_tiles import TrainingTiles

SIDE, NORMALS = 600, 32


def picture(seed: int, dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 200, (30, 30), dtype=np.uint8)).resize((SIDE, SIDE), 2)
    return np.asarray(coarse).astype(dtype) * (257 if dtype is np.uint16 else 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large synthetic images; each defect is a square of 20 pixels in the upper left corner."""
    root = tmp_path_factory.mktemp("large")
    for part, count, start in (("train/good", NORMALS, 0), ("test/good", 3, 100), ("test/dot", 6, 200)):
        (root / part).mkdir(parents=True)
        for i in range(count):
            image = picture(start + i).copy()
            if part == "test/dot":
                image[30:50, 40:60] = 255
            Image.fromarray(image).save(root / part / f"{i:03d}.png")
    (root / "ground_truth/dot").mkdir(parents=True)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[30:50, 40:60] = 255
    for i in range(5):  # the last one has none
        Image.fromarray(mask).save(root / f"ground_truth/dot/{i:03d}_mask.png")
    return root


def settings(root: Path, **values: object) -> DataConfig:
    return DataConfig(format="mvtec", root=str(root), labelled_defects_per_type=3, seed=1, **values)


@pytest.fixture(scope="module")
def store(root: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return prepare_data(settings(root), tmp_path_factory.mktemp("prepared") / "data")


def test_large_images_are_tiled_by_default_and_the_data_stage_says_so(
    store: ImageStore, root: Path, tmp_path: Path
):
    assert store.reduced is not None
    assert len(store.reduced.grids[0]) == 4
    problems = files.read_json(
        prepare_data(settings(root), tmp_path / "data").reduced and tmp_path / "data/problems.json"
    )
    (told,) = [one["detail"] for one in problems if one["problem"] == "tiled"]
    assert "4 tiles (2 x 2) of 256 pixels an image of 600 x 600" in told and "data.tiling=never" in told
    assert not any(one["problem"] == "shrunk" for one in problems)


def test_whole_images_stay_what_they_were(store: ImageStore, root: Path, tmp_path: Path):
    plain = prepare_data(settings(root, tiling="never"), tmp_path / "data")
    assert plain.reduced is None and plain.tiles(5) is plain
    assert [r.split for r in plain.records] == [r.split for r in store.records]
    assert plain.counts() == store.counts() == store.tiles(5).counts()
    for index, record in enumerate(store.records):
        np.testing.assert_array_equal(plain.grey(index), to_square(read_grey(record.path)))
        np.testing.assert_array_equal(plain.grey(index), store.grey(index))
    assert "shrunk" in {one["problem"] for one in files.read_json(tmp_path / "data/problems.json")}


def test_the_parts_of_an_image_are_what_the_tool_cuts(store: ImageStore):
    assert store.reduced is not None
    tiling = store.reduced.tiling
    for index in (0, len(store) - 1):
        grey = read_grey(store.records[index].path)
        cut = list(tiling.grid(*grey.shape).cut(tiling.reduce(grey)))
        image = store.image(index)
        assert isinstance(image, TiledImage)
        np.testing.assert_array_equal(image.whole, store.grey(index))
        parts = list(image.tiles)
        assert len(parts) == len(cut) == 4
        for part, tile in zip(parts, cut, strict=True):
            np.testing.assert_array_equal(part, tile.astype(np.float32) / np.float32(255))


def test_tiles_that_teach_are_of_training_images_only(store: ImageStore):
    tiles = store.tiles(5)
    assert isinstance(tiles, TrainingTiles)
    training = set(store.indices("train", 0))
    assert {tiles.image_of(int(i)) for i in tiles.indices("train", 0)} == training
    assert len(tiles.indices("train", 0)) == 4 * len(training)
    assert len(tiles.indices("test")) == len(tiles.indices("calibration")) == 0


def test_a_tile_is_defective_only_where_its_mask_marks_a_pixel(store: ImageStore):
    tiles = store.tiles(5)
    masked = [int(i) for i in store.indices("train", 1) if store.mask(int(i)) is not None]
    assert masked
    found = tiles.indices("train", 1)
    assert [tiles.image_of(int(i)) for i in found] == masked
    for index in found:
        mask = tiles.mask(int(index))
        assert mask is not None and 0 < mask.sum() < 400
        assert tiles.grey(int(index))[mask].min() > tiles.grey(int(index))[~mask].mean()
    assert not set(found) & set(tiles.indices("train", 0))


def test_the_tiles_of_an_image_share_its_fold_where_groups_are_whole(store: ImageStore):
    folds = 3
    tiles = store.tiles(folds)
    order = [tiles.image_of(int(i)) for i in tiles.indices("train", 0)]
    images = list(store.indices("train", 0))
    whole = set(images[: len(images) // folds * folds])
    for place, image in enumerate(order):
        if image in whole:
            assert place % folds == images.index(image) % folds


def test_a_tiled_set_can_be_asked_for_and_its_tiles_chosen(root: Path, tmp_path: Path):
    finer = prepare_data(settings(root, tiling="3x3"), tmp_path / "a").reduced
    assert finer is not None and len(finer.grids[0]) == 9
    assert finer.tiling.scale == 1.0
    coarser = prepare_data(settings(root, tiling="1.5", tile_overlap=32), tmp_path / "b").reduced
    assert coarser is not None and coarser.tiling.scale == 1.5


def test_the_fingerprint_follows_the_tiling(root: Path, store: ImageStore, tmp_path: Path):
    other = prepare_data(settings(root, tiling="1.5"), tmp_path / "data")
    assert other.fingerprint != store.fingerprint
    assert store.tiles(5).fingerprint != store.tiles(3).fingerprint


def test_an_image_that_changes_meanwhile_stops_the_stage_and_leaves_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from wafer_data import tiled

    monkeypatch.setattr(tiled, "pixel_digest", lambda grey: "other")
    with pytest.raises(DataError, match="was changed while the data were prepared"):
        prepare_data(settings(root), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_arrays_that_do_not_fit_are_refused(root: Path, tmp_path: Path):
    prepare_data(settings(root), tmp_path / "data")
    np.save(tmp_path / "data/reduced.npy", np.zeros(10, np.uint8))
    with pytest.raises(InputError, match="prepare the data again"):
        ImageStore.open(tmp_path / "data")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tile_overlap": 60}, "multiple of 8"),
        ({"tiling": "0x2"}, "each from 1 to 64"),
        ({"tiling": "0.5"}, "from 1 to 64"),
        ({"tiling": "off"}, "must be auto, always, never"),
        ({"tiling": "1.5", "format": "shards"}, "archives"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        DataConfig(**{"format": "mvtec", "root": "somewhere", **values})
