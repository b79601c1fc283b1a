"""The prepared data set: one folder with the split, the problems found, and the images as arrays."""

import collections
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wafer_data import files
from wafer_data.arrays import Spool, open_stack, to_grey, write_stack
from wafer_data.checks import CheckedImage, check_images
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.imaging.levels import Levels, find_levels
from wafer_data.imaging.planes import luminance, stacked
from wafer_data.imaging.source_size import SourceSize
from wafer_data.imaging.tiling import TiledImage, Tiles
from wafer_data.masks import mask_to_square, read_mask
from wafer_data.part_split import parts_said
from wafer_data.problems import Problem, lines
from wafer_data.sources import data_name, find_images
from wafer_data.split import Split, assign_splits
from wafer_data.spread import spread
from wafer_data.survey import survey
from wafer_data.tiled import ReducedImages, choose_tiling, write_reduced

SCHEMA = 2
_LOG = logging.getLogger(__name__)
SPLIT, PROBLEMS, IMAGES, MASKS = "split.json", "problems.json", "images.npy", "masks.npy"
LEVEL_IMAGES = 5000


@dataclass(frozen=True)
class ImageRecord:
    """One image of the data set.

    Attributes:
        path: Absolute path of the source file.
        label: 0 normal, 1 defective.
        type: "good" or the defect type.
        mask: Path of the ground-truth mask, if the image has a usable one.
        sha256: Of the source file's bytes.
    """

    path: str
    split: Split
    label: int
    type: str
    mask: str | None
    sha256: str


def prepare_data(config: DataConfig, out_dir: Path) -> "ImageStore":
    """Find, check, split and decode the images of `config`; write them into the folder `out_dir` as a whole.

    The folder then holds split.json (records, counts, grey levels, configuration), problems.json (what was
    found wrong and left out), images.npy (N, S, S, of colour N, 3, S, S; uint8 if all sources are 8 bit, else
    uint16), masks.npy (M, S, S; 0 or 1); of images that are tiled also what `wafer_data.tiled` writes. Memory does
    not grow with N. On any failure an older folder of that name stays as it was.

    Raises:
        InputError: For everything that can be wrong with the input; see `find_images`, `check_images` and
            `assign_splits`.
    """
    out_dir = Path(out_dir)
    if config.format == "shards":
        from wafer_data.shards.prepare import prepare_shards

        return prepare_shards(config, out_dir)
    problems: list[Problem] = []
    candidates = find_images(config, problems)
    with (
        files.new_directory(out_dir) as folder,
        Spool(folder / "spool", config.image_size, config.channels) as spool,
    ):
        images, found = check_images(candidates, config, keep=spool.append)
        tiling = choose_tiling(images, config)
        problems += found
        problems += survey(images, config.image_size, config.expected_size, tiling, config.colour)
        splits = divided(images, problems, config)
        bits = max(image.bits for image in images)
        rows = (spool.row(image.row, bits) for image in images)
        images_hash = write_stack(
            folder / IMAGES, rows, len(images), config.image_size, bits, config.channels
        )
        masked = [image for image in images if image.mask]
        masks_hash = write_stack(folder / MASKS, _masks(masked, config), len(masked), config.image_size, 8)
        records = [_record(image, split) for image, split in zip(images, splits, strict=True)]
        mask_rows = {image.row: row for row, image in enumerate(masked)}
        tiled: dict[str, Any] = {}
        counts: Callable[[int], np.ndarray] = open_stack(folder / IMAGES).__getitem__
        if tiling is not None:
            tiled["tiling"] = write_reduced(images, tiling, bits, config, folder)
            own = [mask_rows.get(image.row) for image in images]
            counts = ReducedImages(folder, tiled["tiling"], own).counts
        levels = _levels(counts, records)
        content = {
            "schema": SCHEMA,
            "name": data_name(config),
            "seed": config.seed,
            "config": config.model_dump(),
            "counts": _count(records),
            "levels": asdict(levels),
            "source_size": size_of_source(images, splits, config),
            "fingerprint": _fingerprint(records, images_hash, masks_hash, levels, tiled),
            **tiled,
            "records": [
                asdict(record) | {"mask_row": mask_rows.get(image.row)}
                for image, record in zip(images, records, strict=True)
            ],
        }
        files.write_json(folder / PROBLEMS, problems)
        files.write_json(folder / SPLIT, content)
    say(problems, out_dir)
    return ImageStore.open(out_dir)


class ImageStore:
    """Reads a prepared data set; images stay on disk until asked for.

    Attributes:
        records: One `ImageRecord` an image, in the arrays' order.
        size: Side S of the square images in pixels.
        name: For reports.
        fingerprint: Changes when an image, a mask, a label or the split does, not when the folder moves.
        folder: Where it lies.
        levels: The grey levels that every image is given out in. len(store) is the number of images.
        reduced: Large images at the scale of their tiles; None where each is looked at as one square. What the store
            itself gives out is the whole image, shrunk, either way.
    """

    reduced: ReducedImages | None = None
    channels: int = 1
    """Planes of an image as the models see it: 1 of grey, 3 of colour."""
    folds: int | None = None
    """Of tiles: a place among the training normals, modulo this, is that of its image."""

    def __init__(self, out_dir: Path) -> None:
        """Prefer `ImageStore.open`."""
        self.folder = Path(out_dir)
        content = files.read_json(out_dir / SPLIT)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise InputError(
                f"{out_dir / SPLIT} is not of schema {SCHEMA}: remove the folder and prepare again"
            )
        try:
            self.name = str(content["name"])
            self.fingerprint = str(content["fingerprint"])
            self.levels = Levels(**content["levels"])
            rows = content["records"]
            self._mask_rows: list[int | None] = [row.pop("mask_row") for row in rows]
            self.records = [ImageRecord(**row) for row in rows]
        except (KeyError, TypeError) as error:
            raise InputError(f"{out_dir / SPLIT} is incomplete ({error}): prepare the data again") from error
        self._images = open_stack(out_dir / IMAGES)
        self._masks = open_stack(out_dir / MASKS)
        if "tiling" in content:
            self.reduced = ReducedImages(out_dir, content["tiling"], self._mask_rows)
        self.size = int(self._images.shape[-1])
        self.channels = int(self._images.shape[1]) if self._images.ndim == 4 else 1
        masks = sum(row is not None for row in self._mask_rows)
        if len(self._images) != len(self.records) or len(self._masks) != masks:
            raise InputError(f"{out_dir}: arrays and {SPLIT} do not belong together: prepare the data again")

    @classmethod
    def open(cls, out_dir: Path | str) -> "ImageStore":
        """Open the folder that `prepare_data` wrote.

        Raises:
            InputError: If it is missing or damaged.
        """
        out_dir = Path(out_dir)
        if (out_dir / "parts").is_dir():
            from wafer_data.shards.store import ShardStore

            return ShardStore(out_dir)
        return cls(out_dir)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def dtype(self) -> np.dtype:
        """What holds an image without loss: uint8 if every source has 8 bits and its levels are kept, else uint16."""
        return self._images.dtype if self.levels.unchanged else np.dtype(np.uint16)

    def indices(self, split: Split, label: int | None = None) -> np.ndarray:
        """Positions (int64, ascending) of the images of a split, of one label only if `label` is given."""
        if split not in ("train", "calibration", "test"):
            raise ValueError(f"no split is called {split!r}")
        return np.array(
            [
                i
                for i, record in enumerate(self.records)
                if record.split == split and label in (None, record.label)
            ],
            dtype=np.int64,
        )

    def pixels(self, index: int) -> np.ndarray:
        """Image `index` as the models see it, float32 in [0, 1]: (S, S) of grey, (3, S, S) of colour.

        To the last bit `levels.apply(to_square(read_image(path, colour=...), S))`.
        """
        return self.levels.apply(to_grey(self._images[index]))

    def grey(self, index: int) -> np.ndarray:
        """Image `index` as float32 (S, S) in [0, 1]: of a grey data set `pixels`, of colour their luminance."""
        return luminance(self.pixels(index))

    def batch(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Several images as float32 (B, C, S, S) in [0, 1]; C is `channels`."""
        rows = [self.pixels(int(index)) for index in indices]
        return stacked(rows) if rows else np.empty((0, self.channels, self.size, self.size), np.float32)

    def mask(self, index: int) -> np.ndarray | None:
        """Ground truth of image `index` as bool (S, S), or None where no mask is recorded.

        Normal images have none either; of those every pixel is known to be normal.
        """
        row = self._mask_rows[index]
        return None if row is None else self._masks[row].astype(bool)

    def tiles(self, folds: int) -> "ImageStore":
        """What models learn from: the training tiles of large images, else the images themselves.

        Args:
            folds: Of whatever is cross-fitted; tiles of one image then share one.
        """
        if self.reduced is None:
            return self
        from wafer_data.training_tiles import TrainingTiles

        return TrainingTiles(self, self.reduced, folds)

    def image(self, index: int) -> "np.ndarray | TiledImage":
        """What is scored of image `index`: its tiles, where it is a large one; else itself, as `pixels` gives it."""
        if self.reduced is None:
            return self.pixels(index)
        return TiledImage(self.pixels(index), self.tiles_of(index))

    def tiles_of(self, index: int) -> Tiles:
        """The tiles of a large image, in the order of its grid."""
        assert self.reduced is not None
        return Tiles(self.reduced.grids[index], self.reduced.counts(index), self.levels)

    def counts(self) -> dict[str, int]:
        """Numbers of images: train_normal, calibration_normal, test_normal, test_defect, labelled_defects."""
        return _count(self.records)


def say(problems: list[Problem], out_dir: Path) -> None:
    """One line a kind of problem."""
    for line in lines(problems, str(out_dir / PROBLEMS)):
        _LOG.warning("%s", line)


def divided(images: list[CheckedImage], problems: list[Problem], config: DataConfig) -> list[Split]:
    """The split of each image; `problems` grows by what was read from names.

    Raises:
        InputError: Too few are left; it also says what was found in the data.
    """
    problems += parts_said(images, config)
    try:
        return assign_splits(images, config)
    except InputError as error:  # problems.json will not be there to say why so few images are left
        said = "".join(f"\n  {line}" for line in lines(problems, "the folders named"))
        raise type(error)(f"{error}{said and '. What was found in the data:' + said}") from error


def size_of_source(images: list[CheckedImage], splits: list[Split], config: DataConfig) -> dict[str, Any]:
    """The range of sizes of the normal images that train and calibrate; what the tool compares with."""
    shapes = [
        image.shape
        for image, split in zip(images, splits, strict=True)
        if split != "test" and image.candidate.label == 0
    ]
    return SourceSize.of(shapes, config.expected_size).to_dict()


def _record(image: CheckedImage, split: Split) -> ImageRecord:
    source = image.candidate
    mask = str(source.mask) if image.mask else None
    return ImageRecord(str(source.path), split, source.label, source.type, mask, image.sha256)


def _levels(counts: Callable[[int], np.ndarray], records: list[ImageRecord]) -> Levels:
    """From at most `LEVEL_IMAGES` training normals, evenly spaced, as they are looked at: whole, or for tiles."""
    normals = [i for i, record in enumerate(records) if record.split == "train" and record.label == 0]
    return find_levels(counts(int(i)) for i in spread(np.array(normals), LEVEL_IMAGES))


def _masks(images: list[CheckedImage], config: DataConfig) -> Iterator[np.ndarray]:
    for image in images:
        assert image.candidate.mask is not None
        mask = read_mask(image.candidate.mask, None, max_pixels=config.max_pixels)
        yield mask_to_square(mask, config.image_size).astype(np.uint8)


def _count(records: list[ImageRecord]) -> dict[str, int]:
    return count_images((record.split, record.label) for record in records)


def count_images(kinds: Iterable[tuple[Split, int]]) -> dict[str, int]:
    """What `ImageStore.counts` says of images given by split and label."""
    found = collections.Counter(kinds)
    return {
        "train_normal": found["train", 0],
        "calibration_normal": found["calibration", 0],
        "test_normal": found["test", 0],
        "test_defect": found["test", 1],
        "labelled_defects": found["train", 1],
    }


def _fingerprint(
    records: list[ImageRecord], images_hash: str, masks_hash: str, levels: Levels, tiled: dict[str, Any]
) -> str:
    """SHA-256 over what a model can depend on: arrays, grey levels, and each image's split, label and type."""
    rows = [[record.sha256, record.split, record.label, record.type] for record in records]
    parts = {"schema": SCHEMA, "images": images_hash, "masks": masks_hash, "records": rows}
    return files.sha256_json(parts | {"levels": asdict(levels)} | tiled)
