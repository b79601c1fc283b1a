"""Synthetic colour images whose defects are a hue: every pixel is as bright as it would be without them."""

from pathlib import Path

import numpy as np
from PIL import Image

LUMA = np.array([0.299, 0.587, 0.114])
SIDE = 96


def equal_luminance(red: float, blue: float) -> np.ndarray:
    """(3,) what to add to red, green and blue for another hue: green makes up for the luminance."""
    return np.array([red, -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1], blue])


PLAIN, FOREIGN = equal_luminance(0.12, -0.2), equal_luminance(-0.15, 0.25)


def coloured_wafer(rng: np.random.Generator, defect: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Lines on an orange surface, uint8 (SIDE, SIDE, 3), with a bluish disc if there is to be a defect; its mask."""
    y, x = np.mgrid[:SIDE, :SIDE]
    grey = 0.5 + 0.12 * np.sin(2 * np.pi * x / 12 + rng.uniform(0, 2 * np.pi)) + rng.normal(0, 0.02, x.shape)
    grey += rng.normal(0, 0.02)
    cy, cx = rng.integers(SIDE // 4, 3 * SIDE // 4, 2)
    mask = ((y - cy) ** 2 + (x - cx) ** 2 < 100) & defect
    colour = grey[:, :, None] + np.where(mask[:, :, None], FOREIGN, PLAIN) * (1 + rng.normal(0, 0.05))
    return (colour.clip(0, 1) * 255).round().astype(np.uint8), mask


def write_coloured_folder(root: Path, normals: int, tests: int, defects: int, seed: int = 0) -> Path:
    """A data set in MVTec layout, with masks."""
    rng = np.random.default_rng(seed)
    for part, count in (("train/good", normals), ("test/good", tests), ("test/hue", defects)):
        (root / part).mkdir(parents=True)
        for i in range(count):
            image, mask = coloured_wafer(rng, part == "test/hue")
            Image.fromarray(image).save(root / part / f"{i:03d}.png")
            if mask.any():
                (root / "ground_truth/hue").mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask.astype(np.uint8) * 255).save(root / f"ground_truth/hue/{i:03d}_mask.png")
    return root
