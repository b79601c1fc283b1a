"""The training pool: every training normal once, plus augmented copies of which most carry a synthetic anomaly.

A student that imitates its teacher on normal images alone does not extrapolate: where the teacher would call a
scratch strange, the student has never seen a scratch. So the pool holds synthetic anomalies too. They only teach
imitation; nothing is labelled defective here and no threshold rests on them. Image i of the pool depends on the
seed and i alone, so a pool can be rebuilt bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.config import PoolConfig
from wafer_data.augment import augment
from wafer_data.files import new_directory, read_json, sha256_json, write_json
from wafer_data.progress import track
from wafer_data.store import ImageStore
from wafer_data.synthetic import add_random_anomaly


@dataclass(frozen=True)
class Pool:
    """Pool images (memory-mapped, M x 256 x 256, 8 or 16 bit) and which of them are normal.

    originals: how many of the first images are untouched training normals.
    """

    images: np.ndarray
    is_normal: np.ndarray
    originals: int
    key: str

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """(B, 1, 256, 256) float32 in [0, 1]."""
        top = np.iinfo(self.images.dtype).max
        return (self.images[indices].astype(np.float32) / np.float32(top))[:, None]

    def __len__(self) -> int:
        return len(self.images)


def open_pool(cache: Path, store: ImageStore, config: PoolConfig, seed: int) -> Pool:
    """The pool in `cache`, built first if it is missing or belongs to other images or settings."""
    normals = store.indices("train", label=0)
    originals = normals[: config.max_originals]
    key = sha256_json(
        {"store": store.fingerprint, "config": config.model_dump(mode="json"), "seed": seed, "version": 1}
    )
    folder = cache / "pool"
    if not (folder / "pool.json").is_file() or read_json(folder / "pool.json").get("key") != key:
        _build(folder, store, originals, config, seed, key)
    about = read_json(folder / "pool.json")
    images = np.load(folder / "images.npy", mmap_mode="r")
    return Pool(images, np.load(folder / "is_normal.npy"), about["originals"], key)


def _build(
    folder: Path, store: ImageStore, originals: np.ndarray, config: PoolConfig, seed: int, key: str
) -> None:
    dtype = store.dtype
    top = np.iinfo(dtype).max
    total = len(originals) + config.generated
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_directory(folder) as new:
        shape = (total, store.size, store.size)
        images = np.lib.format.open_memmap(new / "images.npy", mode="w+", dtype=dtype, shape=shape)
        is_normal = np.ones(total, bool)
        for i in track(range(total), "training pool"):
            if i < len(originals):
                image = store.grey(int(originals[i]))
            else:
                image, is_normal[i] = _generate(store, originals, config, seed, i)
            images[i] = np.clip(np.rint(image * top), 0, top)
        images.flush()
        del images
        np.save(new / "is_normal.npy", is_normal)
        write_json(new / "pool.json", {"key": key, "originals": len(originals), "images": total})


def _generate(
    store: ImageStore, originals: np.ndarray, config: PoolConfig, seed: int, index: int
) -> tuple[np.ndarray, bool]:
    """One augmented normal, with a synthetic anomaly in `synthetic_share` of all cases."""
    rng = np.random.default_rng((seed, index))
    source, donor = (store.grey(int(i)) for i in rng.choice(originals, 2))
    image = augment(source, rng, config.augment)
    if rng.random() >= config.synthetic_share:
        return image, True
    return add_random_anomaly(image, rng, donor)[0], False
