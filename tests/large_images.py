"""Synthetic images of 768 pixels whose small defects shrinking averages away: a patch of the fine pattern turned."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDE, PATCH, PERIOD = 768, 40, 6


def large_image(rng: np.random.Generator, defect: tuple[int, int] | None = None) -> np.ndarray:
    """Fine vertical stripes, uint8 (SIDE, SIDE); with horizontal ones in a patch whose corner is `defect`."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi)
    image = 0.5 + 0.25 * np.sin(2 * np.pi * x / PERIOD + phase)
    if defect is not None:
        spot = np.s_[defect[0] : defect[0] + PATCH, defect[1] : defect[1] + PATCH]
        image[spot] = 0.5 + 0.25 * np.sin(2 * np.pi * y[spot] / PERIOD + phase)
    image += rng.normal(0, 0.05, image.shape) + rng.normal(0, 0.02)
    return (image.clip(0, 1) * 255).astype(np.uint8)


def corner(rng: np.random.Generator) -> tuple[int, int]:
    """Where a patch fits."""
    top, left = rng.integers(0, SIDE - PATCH, 2)
    return int(top), int(left)


def write_large_folder(root: Path, normals: int, tests: int, defects: int, seed: int = 0) -> Path:
    """A data set in MVTec layout, with masks."""
    rng = np.random.default_rng(seed)
    for part, count in (("train/good", normals), ("test/good", tests), ("test/turned", defects)):
        (root / part).mkdir(parents=True)
        for i in range(count):
            spot = corner(rng) if part == "test/turned" else None
            Image.fromarray(large_image(rng, spot)).save(root / part / f"{i:03d}.png", compress_level=1)
            if spot is not None:
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[spot[0] : spot[0] + PATCH, spot[1] : spot[1] + PATCH] = 255
                (root / "ground_truth/turned").mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(root / f"ground_truth/turned/{i:03d}_mask.png")
    return root
