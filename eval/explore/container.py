"""How much of their files' range of values the images use: bit depth, saturation, sizes."""

import collections
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.explore.intensity import level_quantile
from wafer_data.imaging.read import read_grey
from wafer_data.progress import track

FILES = 100
"""At most this many files are decoded at their full size."""

_KINDS = {np.dtype(np.uint8): "8 bit", np.dtype(np.uint16): "16 bit", np.dtype(np.float32): "float"}
_LEVELS = {"8 bit": 256, "16 bit": 65536, "float": 65536}


@dataclass(frozen=True)
class Container:
    """Files of training normals as they lie on disk; levels are those of the most frequent kind of file.

    Attributes:
        files: How many were decoded.
        kinds: How many of each ("8 bit", "16 bit", "float").
        kind: The most frequent; a float in [0, 1] counts as one of 65536 levels.
        lowest, highest: Grey levels that occur.
        low, high: The 0.1st and 99.9th percentile of all pixels.
        range_share: (highest - lowest) / (levels - 1).
        bits_needed: Bits that the highest level takes.
        idle_low_bits: Lowest bits that are zero in every pixel (a sensor's values shifted to the left).
        black_share, white_share: Pixels at the two ends of the container.
        width, height: Smallest, median and largest in pixels.
    """

    files: int
    kinds: dict[str, int]
    kind: str
    levels: int
    lowest: int
    highest: int
    low: int
    high: int
    range_share: float
    bits_needed: int
    idle_low_bits: int
    black_share: float
    white_share: float
    width: tuple[int, int, int]
    height: tuple[int, int, int]


def measure_container(paths: Sequence[str | Path], max_pixels: int, min_side: int) -> Container:
    """Decode the files and measure them. Raises `UnreadableImage` naming a file that cannot be read."""
    counts = {kind: np.zeros(levels, np.int64) for kind, levels in _LEVELS.items()}
    kinds: collections.Counter[str] = collections.Counter()
    shapes = []
    for path in track(paths, "files at full size"):
        grey = read_grey(path, max_pixels=max_pixels, min_side=min_side)
        kind = _KINDS[grey.dtype]
        whole = np.rint(grey * np.float32(65535)).astype(np.uint16) if kind == "float" else grey
        counts[kind] += np.bincount(whole.ravel(), minlength=_LEVELS[kind])
        kinds[kind] += 1
        shapes.append(grey.shape)
    kind = kinds.most_common(1)[0][0]
    return _describe(counts[kind], kind, dict(kinds), shapes)


def _describe(
    counts: np.ndarray, kind: str, kinds: dict[str, int], shapes: list[tuple[int, int]]
) -> Container:
    levels = np.flatnonzero(counts)
    lowest, highest, pixels = int(levels[0]), int(levels[-1]), int(counts.sum())
    bits = int(np.bitwise_or.reduce(levels))
    heights, widths = np.array(shapes).T
    return Container(
        files=len(shapes),
        kinds=kinds,
        kind=kind,
        levels=len(counts),
        lowest=lowest,
        highest=highest,
        low=level_quantile(counts, 0.001),
        high=level_quantile(counts, 0.999),
        range_share=(highest - lowest) / (len(counts) - 1),
        bits_needed=highest.bit_length(),
        idle_low_bits=(bits & -bits).bit_length() - 1 if bits else 0,
        black_share=int(counts[0]) / pixels,
        white_share=int(counts[-1]) / pixels,
        width=_spread(widths),
        height=_spread(heights),
    )


def _spread(sides: np.ndarray) -> tuple[int, int, int]:
    return int(sides.min()), int(np.median(sides)), int(sides.max())
