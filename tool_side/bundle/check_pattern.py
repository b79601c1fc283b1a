"""The built-in test pattern: what a bundle makes of it is recorded at the export and compared on the tool.

The pattern is drawn, not photographed: it needs no file, belongs to nobody and says nothing about accuracy. It
shows whether this computer, with its processor, its onnxruntime and its decoder, computes what the exporting
one did.
"""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tool_side.bundle.load import MANIFEST, Bundle, load_bundle
from tool_side.runtime.inspector import Inspector
from tool_side.runtime.session import StudentGraph
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json

SECTION = "check"
TOLERANCE = 1e-3
"""Allowed relative difference of a raw score: processors and versions of onnxruntime round differently."""


def pattern(size: int = 256) -> np.ndarray:
    """The test pattern, uint16 (size, size), from whole numbers only: the same everywhere to the last bit.

    Lines and a texture over a grey that rises from left to right: evenly in the upper three quarters, below by
    doubling sixteen times, so that a bundle for any range of grey levels sees a part of it.
    """
    row, column = np.indices((size, size), dtype=np.int64)
    step, rest = np.divmod(column * 16, size)
    doubling = (1 << step) + ((1 << step) * rest) // size
    even = 16_000 + column * 32_000 // size
    grey = np.where(row < size * 3 // 4, even, doubling)
    texture = (row * 7919 ^ column * 104729 ^ (row * column)) % 64
    lines = np.where((row + column // 3) // 8 % 2 == 0, 128, 64)
    return np.clip(grey * (lines + texture) // 128, 0, 65535).astype(np.uint16)


def encoded_pattern(size: int = 256, *, colour: bool = False) -> bytes:
    """The pattern as a PNG file, so that decoding is checked too; of `colour` with another one in each channel."""
    buffer, picture = io.BytesIO(), pattern(size)
    if colour:
        channels = (picture, picture[::-1], picture[:, ::-1])
        picture = (np.stack(channels, axis=2) >> 8).astype(np.uint8)
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def measure(bundle: Bundle, inspector: Inspector) -> dict[str, Any]:
    """What the bundle makes of the pattern: decision, route, and both graphs' raw scores (None: no number)."""
    inspector = copy.copy(inspector)
    inspector.source_size = None  # the pattern is of no recipe's size
    square = bundle.preprocessing
    shown = encoded_pattern(square.image_size, colour=square.colour)
    found = inspector.inspect(shown, keep_image=True, recipe=inspector.recipes[0])
    if found.image is None:
        raise InputError(f"the built-in test pattern cannot be inspected here: {'; '.join(found.reasons)}")
    scores: dict[str, float | None] = {}
    for name, entry in bundle.models.items():
        score = StudentGraph(entry.file, bundle.contents[entry.file], 1)(found.image).score
        scores[f"{name}_score"] = float(f"{score:.6g}") if math.isfinite(score) else None
    return {"decision": found.decision, "route": found.route, **scores}


def record_check(folder: Path) -> None:
    """Add to the manifest of a finished bundle what this computer makes of the pattern."""
    bundle = load_bundle(folder)
    manifest = read_json(folder / MANIFEST)
    manifest[SECTION] = measure(bundle, Inspector(bundle))
    write_json(folder / MANIFEST, manifest)


def difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Where two results of :func:`measure` differ by more than rounding; None if nowhere."""
    if set(expected) != set(found):
        return f"the export recorded {', '.join(sorted(expected))}"
    for name, theirs in expected.items():
        ours = found[name]
        if isinstance(theirs, float) and isinstance(ours, float):
            if not math.isclose(theirs, ours, rel_tol=TOLERANCE):
                return f"{name} is {ours:.6g} here and was {theirs:.6g} at the export"
        elif theirs != ours:
            return f"{name} is {ours} here and was {theirs} at the export"
    return None
