"""Killed at any moment, watch mode loses no image and inspects none twice."""

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
Wafer = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def kill_watch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kill_watch", ROOT / "tests" / "stress" / "kill_watch.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_ten_kills_while_files_arrive(
    kill_watch: ModuleType, bundle: Path, wafer: Wafer, tmp_path: Path
) -> None:
    images = [png(wafer(seed, 0.4 if seed == 3 else 0.0)) for seed in range(4)]
    found = kill_watch.survive_kills(bundle, images, tmp_path, kills=10, seed=7)
    assert found["images"] > 10
    assert (found["lost"], found["twice"], found["unknown"]) == (0, 0, 0), found
    assert not found["table_differs"]
