"""The training pool: every training image once, plus augmented copies of which most show a defect.

A student that imitates its teacher on normal images alone does not extrapolate: where the teacher would call a
scratch strange, the student has never seen a scratch. So the pool holds synthetic anomalies too, and labelled defects
where there are any. They only teach imitation; no label is learned here and no threshold rests on them. Image i of
the pool depends on the seed and i alone, so a pool can be rebuilt bit by bit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from distill.config import PoolConfig
from wafer_data.arrays import to_counts, write_stack
from wafer_data.augment import AugmentConfig, augment, warp
from wafer_data.errors import InputError
from wafer_data.files import new_directory, read_json, sha256_json, write_json
from wafer_data.imaging.planes import stacked
from wafer_data.progress import track
from wafer_data.shards.on_ray import cluster, on_ray
from wafer_data.store import ImageStore
from wafer_data.synthetic import add_random_anomaly
from wafer_data.synthetic.transplant import transplant

VERSION = 6
"""Changes with the way a pool is made, so that one made otherwise is not gone on with."""


COVER_SIDE = 32
RAY_IMAGES = 128
"""Images that a worker of a cluster makes at a time."""


@dataclass(frozen=True)
class Pool:
    """Pool images and which of them are normal.

    images: memory-mapped, M x 256 x 256, of colour M x 3 x 256 x 256, 8 or 16 bit. originals: how many of the first
    images are untouched training normals. is_normal: (M,) bool; false where an image shows a defect, painted or
    labelled. cover: (M, 32, 32) uint8, share of each part of an image that is known to be defective, 255 is all; None:
    nothing is known. known: (M,) bool, whether `cover` tells all of an image; None: of the normal and the covered ones.
    """

    images: np.ndarray
    is_normal: np.ndarray
    originals: int
    key: str
    cover: np.ndarray | None = None
    known: np.ndarray | None = None

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """(B, C, 256, 256) float32 in [0, 1]; C is 1 of grey, 3 of colour."""
        top = np.iinfo(self.images.dtype).max
        return stacked(self.images[indices].astype(np.float32) / np.float32(top))

    def counts(self, indices: np.ndarray) -> np.ndarray:
        """(B, C, 256, 256) as they are stored, in 8 or 16 bit: a quarter or half of what `batch` moves."""
        return stacked(self.images[indices])

    def __len__(self) -> int:
        return len(self.images)


def open_pool(
    cache: Path,
    store: ImageStore,
    config: PoolConfig,
    seed: int,
    changes: AugmentConfig | None = None,
    foreign: AugmentConfig | None = None,
    warped: float = 0.0,
) -> Pool:
    """The pool in `cache`, built first if it is missing or belongs to other images or settings.

    changes: what leaves a normal image normal, flips decided (`distill.augmentation`); default: `config.augment`.
    foreign: mirrors that do not: their copies join as a kind of anomaly; default: none.
    warped: share of the copies that are turned by any angle. The teacher answers for them as for any image, so none
    becomes normal by that; students see more of what its answers depend on.

    Raises:
        InputError: the disk has no room for it.
    """
    maker = _Maker(store, config, changes or config.augment, foreign or AugmentConfig(), seed, warped)
    key = maker.key
    folder = cache / "pool"
    if not (folder / "pool.json").is_file() or read_json(folder / "pool.json").get("key") != key:
        maker.build(folder)
    return read_pool(cache)


def read_pool(cache: Path) -> Pool:
    """The pool that lies in `cache`, whatever it was made of."""
    folder = cache / "pool"
    about = read_json(folder / "pool.json")
    images = np.load(folder / "images.npy", mmap_mode="r")
    is_normal, cover = np.load(folder / "is_normal.npy"), np.load(folder / "cover.npy", mmap_mode="r")
    known = np.load(folder / "known.npy")
    return Pool(images, is_normal, about["originals"], about["key"], cover, known)


class _Maker:
    """Makes the images of a pool: normals as they are, labelled defects as they are, then generated ones."""

    def __init__(
        self,
        store: ImageStore,
        config: PoolConfig,
        changes: AugmentConfig,
        foreign: AugmentConfig,
        seed: int,
        warped: float,
    ) -> None:
        self.store, self.config, self.changes, self.foreign, self.seed = store, config, changes, foreign, seed
        self.warped_share = warped
        self.normals = store.indices("train", label=0)[: config.max_originals]
        self.defects = store.indices("train", label=1)
        self.total = len(self.normals) + len(self.defects) + config.generated

    @property
    def key(self) -> str:
        """Changes whenever an image of the pool would."""
        shares = ("generated", "synthetic_share", "labelled_share", "max_originals")
        parts = {
            "store": self.store.fingerprint,
            "config": {name: getattr(self.config, name) for name in shares},
            "changes": self.changes.model_dump(mode="json"),
            "foreign": self.foreign.model_dump(mode="json"),
            "seed": self.seed,
            "warped": self.warped_share,
            "version": VERSION,
        }
        return sha256_json(parts)

    def build(self, folder: Path) -> None:
        """Write the pool into `folder`, as a whole; inside `on_cluster` its images are made there."""
        bits = 8 * self.store.dtype.itemsize
        folder.parent.mkdir(parents=True, exist_ok=True)
        needed = self.total * self.store.channels * self.store.size**2 * self.store.dtype.itemsize
        free = shutil.disk_usage(folder.parent).free
        if needed > free:
            raise InputError(
                f"the training pool needs {needed / 1e9:.2f} GB in {folder.parent} and the disk has {free / 1e9:.2f} "
                "GB free; free some space, or lower distill.pool.generated or distill.pool.max_originals"
            )
        is_normal = np.ones(self.total, bool)
        cover = np.zeros((self.total, COVER_SIDE, COVER_SIDE), np.uint8)
        known = np.ones(self.total, bool)

        def rows() -> Iterator[np.ndarray]:
            address = cluster()
            made = self.made(range(self.total)) if address is None else self._made_on(address)
            for i, (counts, normal, covered) in enumerate(track(made, "training pool", total=self.total)):
                is_normal[i] = normal
                known[i] = normal or covered is not None
                if covered is not None:
                    cover[i] = covered
                yield counts

        with new_directory(folder) as new:
            write_stack(new / "images.npy", rows(), self.total, self.store.size, bits, self.store.channels)
            np.save(new / "is_normal.npy", is_normal)
            np.save(new / "cover.npy", cover)
            np.save(new / "known.npy", known)
            counts = {"originals": len(self.normals), "labelled": len(self.defects), "images": self.total}
            write_json(new / "pool.json", {"key": self.key, **counts})

    def made(self, numbers: Iterable[int]) -> Iterator[tuple[np.ndarray, bool, np.ndarray | None]]:
        """Images as they are stored, whether each is normal, and its cover if it is known."""
        bits = 8 * self.store.dtype.itemsize
        for i in numbers:
            image, normal, mask = self.image(i)
            yield to_counts(image, bits), normal, None if mask is None else _cover(mask)

    def _made_on(self, address: str) -> Iterator[tuple[np.ndarray, bool, np.ndarray | None]]:
        """The same from a Ray cluster."""
        blocks = [range(s, min(s + RAY_IMAGES, self.total)) for s in range(0, self.total, RAY_IMAGES)]
        settings = (self.config, self.changes, self.foreign, self.seed, self.warped_share)
        folds = self.store.folds or 1
        worker = partial(_pool_worker, self.store.folder.absolute(), folds, *settings)
        for _, row in on_ray(address, worker, blocks, in_order=True):
            known = np.asarray(row["known"])
            for counts, normal, has, cover in zip(
                np.asarray(row["images"]),
                np.asarray(row["normal"]),
                known,
                np.asarray(row["cover"]),
                strict=True,
            ):
                yield counts, bool(normal), cover if has else None

    def image(self, i: int) -> tuple[np.ndarray, bool, np.ndarray | None]:
        """Image `i` of the pool, float32 in [0, 1], whether it is normal, and its defect's mask if known."""
        untouched = len(self.normals) + len(self.defects)
        if i < untouched:
            is_normal = i < len(self.normals)
            index = int(self.normals[i] if is_normal else self.defects[i - len(self.normals)])
            return self.store.pixels(index), is_normal, self.store.mask(index)
        rng = np.random.default_rng((self.seed, i))
        if len(self.defects) and rng.random() < self.config.labelled_share:
            return self._labelled(rng)
        source, donor = (self.store.pixels(int(index)) for index in rng.choice(self.normals, 2))
        image = augment(source, rng, self.changes)
        mirrored = augment(image, rng, self.foreign)
        if self.warped_share and rng.random() < self.warped_share:
            mirrored = warp(mirrored, rng)
        if rng.random() >= self.config.synthetic_share:
            return mirrored, np.array_equal(mirrored, image), np.zeros(image.shape[-2:], bool)
        painted, mask, _ = add_random_anomaly(mirrored, rng, donor)
        return painted, False, mask

    def _labelled(self, rng: np.random.Generator) -> tuple[np.ndarray, bool, np.ndarray | None]:
        """A labelled defect, augmented; where its mask is known, every other time cut out and put into a normal."""
        chosen = int(rng.choice(self.defects))
        defect, mask = self.store.pixels(chosen), self.store.mask(chosen)
        if mask is None or not mask.any() or rng.random() < 0.5:
            return augment(defect, rng, self.changes), False, None  # its mask is not turned along
        normal = augment(self.store.pixels(int(rng.choice(self.normals))), rng, self.changes)
        image, placed = transplant(normal, defect, mask, rng, self.changes)
        return image, False, placed


def _pool_worker(data: Path, folds: int, *settings: Any) -> Callable[[range], dict[str, Any]]:
    """What a worker of a cluster makes of the numbers of some images; called once in each."""
    maker = _Maker(ImageStore.open(data).tiles(folds), *settings)

    def work(numbers: range) -> dict[str, Any]:
        images, normal, covers = zip(*maker.made(numbers), strict=True)
        none = np.zeros((COVER_SIDE, COVER_SIDE), np.uint8)
        return {
            "images": np.stack(images),
            "normal": np.array(normal),
            "known": np.array([cover is not None for cover in covers]),
            "cover": np.stack([none if cover is None else cover for cover in covers]),
        }

    return work


def _cover(mask: np.ndarray) -> np.ndarray:
    """(S, S) bool -> (COVER_SIDE, COVER_SIDE) uint8 shares."""
    part = Image.fromarray(mask.astype(np.uint8) * 255).resize((COVER_SIDE, COVER_SIDE), Image.Resampling.BOX)
    return np.asarray(part)
