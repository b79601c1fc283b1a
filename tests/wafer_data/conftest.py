"""Small data sets on disk: textured grey images in each of the layouts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wafer_data.progress import close_display

MakeImage = Callable[..., Path]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAFERROUTE_QUIET", "1")
    close_display()  # a test that failed inside a loop may have left one open


@pytest.fixture
def textured() -> Callable[..., np.ndarray]:
    """textured(seed, height=40, width=48): a uint8 image unlike that of any other seed."""

    def make(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
        rng = np.random.default_rng(seed)
        slope = np.linspace(60, 180, width)[None] + np.linspace(-20, 20, height)[:, None]
        return np.clip(slope + rng.normal(0, 6, (height, width)), 0, 255).astype(np.uint8)

    return make


@pytest.fixture
def save(textured: Callable[..., np.ndarray]) -> MakeImage:
    """save(path, seed) or save(path, array): write an image file, creating its folder."""

    def write(path: Path, content: int | np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        array = textured(content) if isinstance(content, int) else content
        Image.fromarray(array).save(path)
        return path

    return write


@pytest.fixture
def mvtec_root(tmp_path: Path, save: MakeImage) -> Path:
    """60 train, 8 good test images; 6 scratches with masks; 4 stains without."""
    root = tmp_path / "tiles"
    for i in range(60):
        save(root / "train/good" / f"{i:03}.png", i)
    for i in range(8):
        save(root / "test/good" / f"{i:03}.png", 100 + i)
    for i in range(6):
        save(root / "test/scratch" / f"{i:03}.png", 200 + i)
        mask = np.zeros((40, 48), np.uint8)
        mask[10:20, 5 : 15 + i] = 255
        save(root / "ground_truth/scratch" / f"{i:03}_mask.png", mask)
    for i in range(4):
        save(root / "test/stain" / f"{i:03}.png", 300 + i)
    return root


@pytest.fixture
def folder_root(tmp_path: Path, save: MakeImage) -> Path:
    """80 normal images."""
    root = tmp_path / "normal"
    for i in range(80):
        save(root / f"{i:03}.png", i)
    return root
