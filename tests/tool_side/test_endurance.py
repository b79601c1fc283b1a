"""The endurance benchmark, with few images: its figures exist, and it notices what it is there to notice."""

import dataclasses
import importlib.util
import itertools
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tool_side import Inspection, Inspector

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def endurance() -> ModuleType:
    spec = importlib.util.spec_from_file_location("endurance", ROOT / "tests" / "stress" / "endurance.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path, wafer: Callable[..., np.ndarray]) -> Path:
    for seed in range(6):
        Image.fromarray(wafer(seed, 0.4 if seed > 3 else 0.0)).save(tmp_path / f"{seed}.png")
    return tmp_path


def test_images_in_a_row_and_sixteen_threads(
    endurance: ModuleType, bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert endurance.main([str(bundle), str(folder), "--images", "100", "--rounds", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["synthetic"] is False and found["files"] == 6
    assert found["in_a_row"]["images"] == 100 and found["in_a_row"]["memory_grew"] is False
    assert found["in_threads"] == {"threads": 16, "images": 30, "different": 0} | {
        "images_per_second": found["in_threads"]["images_per_second"]
    }


def test_growing_memory_is_noticed(
    endurance: ModuleType, bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[np.ndarray] = []
    inspect = Inspector.inspect

    def leaky(self: Inspector, image: Any, **options: bool) -> Inspection:
        kept.append(np.frombuffer(mmap.mmap(-1, 2_400_000), np.uint8))
        kept[-1][:] = 1  # fresh pages of its own: the heap may hold freed ones of earlier tests
        return inspect(self, image, **options)

    monkeypatch.setattr(Inspector, "inspect", leaky)
    assert endurance.main([str(bundle), str(folder), "--images", "100", "--threads", "0"]) == 1


def test_a_result_that_depends_on_the_thread_is_noticed(
    endurance: ModuleType, bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, inspect = itertools.count(), Inspector.inspect

    def unsteady(self: Inspector, image: Any, **options: bool) -> Inspection:
        number = next(numbers)
        result = inspect(self, image, **options)
        if number == 20:
            return dataclasses.replace(result, score=-99.0)
        return result

    monkeypatch.setattr(Inspector, "inspect", unsteady)
    assert endurance.main([str(bundle), str(folder), "--images", "0", "--rounds", "4"]) == 1
