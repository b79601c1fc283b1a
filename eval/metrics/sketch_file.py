"""The pixel sketches of a test set in one file, so that two runs can be compared without their models."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eval.metrics.sketch import ImageSketch
from wafer_data.errors import InputError
from wafer_data.files import write_bytes

_PARTS = ("rows", "sizes", "regions", "scores", "weights")


def write_sketches(path: Path, models: Mapping[str, Mapping[int, ImageSketch]]) -> None:
    """Write, for each model, the sketch of each test image by its row among the test images (npz, nothing pickled)."""
    arrays = {}
    for name, sketches in models.items():
        several = list(sketches.values())
        arrays[f"{name}.rows"] = np.array(list(sketches), dtype=np.int64)
        arrays[f"{name}.sizes"] = np.array([len(sketch.scores) for sketch in several], dtype=np.int32)
        arrays[f"{name}.regions"] = np.array([sketch.regions for sketch in several], dtype=np.int32)
        arrays[f"{name}.scores"] = np.concatenate([sketch.scores for sketch in several])
        arrays[f"{name}.weights"] = np.concatenate([sketch.weights for sketch in several], axis=1)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def read_sketches(path: Path) -> dict[str, dict[int, ImageSketch]]:
    """What `write_sketches` wrote; empty if there is no such file. Raises `InputError` if it is damaged."""
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as content:
            names = [key.removesuffix(".rows") for key in content.files if key.endswith(".rows")]
            return {name: _sketches(*(content[f"{name}.{part}"] for part in _PARTS)) for name in names}
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}): evaluate the run again") from error


def _sketches(
    rows: np.ndarray, sizes: np.ndarray, regions: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> dict[int, ImageSketch]:
    if len(scores) != sizes.sum() or weights.shape != (3, len(scores)):
        raise ValueError("its parts do not belong together")
    ends = np.cumsum(sizes)
    return {
        int(row): ImageSketch(scores[end - size : end], weights[:, end - size : end], int(count))
        for row, size, end, count in zip(rows, sizes, ends, regions, strict=True)
    }
