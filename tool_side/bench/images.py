"""The images to measure with: the user's own, or synthetic noise that resembles no wafer and says so."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from router.decision import Route
from router.gate import FIGURES, QualityGate
from tool_side.runtime.inspect_files import expand_inputs
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import InputError
from wafer_data.imaging.planes import stacked

MOST_IMAGES = 128
SYNTHETIC_IMAGES = 32
# Beyond any standardised score, and yet finite, as a policy's numbers must be.
_NEVER, _ALWAYS = 1e300, -1e300


@dataclass(frozen=True)
class BenchImages:
    """Files to decode, and the models' inputs made from them.

    paths: image files. inputs: float32 (N, C, S, S) in [0, 1]. synthetic: whether they are noise made here.
    unreadable: files that were left out. escalated, refused: shares of the images that the bundle's own
    policy sends to the full student, and that its quality gate refuses.
    """

    paths: list[Path]
    inputs: np.ndarray
    synthetic: bool
    unreadable: int
    escalated: float
    refused: float


def prepare_images(given: Sequence[str | Path], inspector: Inspector, folder: Path) -> BenchImages:
    """At most 128 of the images `given` (files or folders), evenly picked; none given: noise, put into `folder`.

    Raises InputError for a path that does not exist and when no image can be read.
    """
    if given:
        found = [file.path for file in expand_inputs(given)]
        picked = np.unique(np.linspace(0, len(found) - 1, min(MOST_IMAGES, len(found))).round().astype(int))
        paths = [found[index] for index in picked]
    else:
        paths = write_noise(folder, inspector.preprocessing.image_size, colour=inspector.preprocessing.colour)
        inspector = copy.copy(inspector)
        inspector.source_size = None  # noise is of no recipe's size
    through = on_route(inspector, escalate=False)
    kept, inputs, routes = [], [], []
    for path in paths:
        image = through.inspect(path, keep_image=True).image
        if image is not None:
            kept.append(path)
            inputs.append(image)
            routes.append(inspector.inspect(path).route)
    if not kept:
        raise InputError(
            f"none of the {len(paths)} images can be read: bench with other images, or without any"
        )
    return BenchImages(
        paths=kept,
        inputs=stacked(inputs),
        synthetic=not given,
        unreadable=len(paths) - len(kept),
        escalated=routes.count(Route.FULL) / len(kept),
        refused=routes.count(Route.NONE) / len(kept),
    )


def on_route(inspector: Inspector, *, escalate: bool) -> Inspector:
    """An inspector on the same graphs that sends every image, or none, to the full student.

    Its quality gate measures as always and lets everything pass: what is timed is the route, whatever the
    images show. Its decisions mean nothing.
    """
    free = dict.fromkeys(FIGURES, (-math.inf, math.inf))
    other = copy.copy(inspector)
    other.source_size = None
    other.policy = replace(
        inspector.policy,
        escalate_above=_ALWAYS if escalate else _NEVER,
        gate=QualityGate(free, inspector.policy.gate.fitted_on),
    )
    return other


def write_noise(folder: Path, size: int, *, colour: bool = False) -> list[Path]:
    """Synthetic 8-bit noise images as PNG files, the same each time. They resemble no wafer."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(SYNTHETIC_IMAGES):
        coarse = Image.fromarray(rng.normal(0, 1, (size // 16, size // 16)).astype(np.float32))
        smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
        grey = 0.5 + 0.1 * smooth + rng.normal(0, 0.05, (size, size))
        if colour:
            grey = grey[:, :, None] + rng.normal(0, 0.05, (size, size, 3))
        path = folder / f"noise_{number:02d}.png"
        Image.fromarray((255 * np.clip(grey, 0, 1)).astype(np.uint8)).save(path)
        paths.append(path)
    return paths
