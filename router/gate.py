"""Quality gate: can this image be judged at all?

A blank, out-of-focus or saturated image holds no evidence that the wafer is good, and a detector trained on
sharp images may well give it a low score; an image of another recipe is no evidence either way. So cheap figures
of the image (`router.gate_figures`) are compared with what normal images of the same recipe show, and an image
outside goes to REVIEW with the reason in words. Four checks: each figure's range; what commonly goes wrong while
an image is taken (`router.gate_disturbances`); whether the image looks like the recipe (`router.gate_appearance`);
whether anything shows where normal images are constant (`router.gate_mask`). Real defects must not end here but
be judged by the models: a defect is local, so the checks look for what changes a whole image. numpy only: this
runs on the inspection tool for every image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from router.gate_appearance import Appearance, fit_appearance
from router.gate_disturbances import DISTURBANCES, Directions, fit_directions
from router.gate_figures import FIGURES, QualityFigures, measure_image, measure_quality
from router.gate_mask import MaskFit, PixelMask
from wafer_data.errors import DataError, PolicyError
from wafer_data.imaging.planes import luminance
from wafer_data.imaging.tiling import TiledImage

__all__ = ["FIGURES", "QualityFigures", "QualityGate", "fit_gate", "fit_gate_images", "measure_quality"]

SCHEMA = 3
"""Changes with what a figure measures: limits fitted on other figures say nothing about these."""

# Below this an image is flat whatever its bit depth: some 6 levels of 16 bit, a fortieth of a level of 8 bit.
CONSTANT_STD = 1e-4
MIN_FIT_IMAGES = 10
# With fewer normal images the ranges are wide and no disturbance is learned: those limits would be chance.
ENOUGH_IMAGES = 100
# Another recipe differs so much that few images are enough to see it.
APPEARANCE_IMAGES = 30
# One-sided bounds that can refuse an image: two each for mean and std; one each for the other figures.
BOUND_COUNT = 7


_TOO_LOW = {
    "mean": "too dark: mean grey",
    "std": "too little contrast: standard deviation",
    "sharpness": "blurred or out of focus: sharpness",
}
_TOO_HIGH = {
    "mean": "too bright: mean grey",
    "std": "too much contrast: standard deviation",
    "black_share": "underexposed: share of black pixels",
    "white_share": "saturated: share of white pixels",
}


@dataclass(frozen=True)
class QualityGate:
    """Allowed range (low, high) of each figure of :class:`QualityFigures`, ends included; high may be inf.

    Attributes:
        fitted_on: Number of normal images behind it.
        appearance, directions, mask: The other checks; None where there were too few normal images for them,
            or nothing to check. Whatever the ranges, an image that is constant or holds non-finite pixels is
            refused.
    """

    ranges: Mapping[str, tuple[float, float]]
    fitted_on: int
    appearance: Appearance | None = None
    directions: Directions | None = None
    mask: PixelMask | None = None

    def reasons(self, figures: QualityFigures) -> list[str]:
        """Why the image cannot be judged, in plain words; empty when it can."""
        if not math.isfinite(figures.mean):
            return ["the image holds pixels that are not finite numbers"]
        if not figures.std > CONSTANT_STD:
            return [f"the image is constant (grey {figures.mean:.3f} everywhere)"]
        found = []
        for name in FIGURES:
            low, high = self.ranges[name]
            value = getattr(figures, name)
            # Written so that a NaN counts as outside.
            if not low <= value <= high:
                words = _TOO_LOW[name] if value < low or name not in _TOO_HIGH else _TOO_HIGH[name]
                allowed = f"at least {low:.3g}" if high == math.inf else f"{low:.3g} to {high:.3g}"
                found.append(f"{words} {value:.3g}, allowed {allowed}")
        return found + self._joint_reasons(figures)

    def cleaned(self, image: np.ndarray) -> np.ndarray:
        """The image that the networks see: `image`, float32 (S, S) or (3, S, S), without its uninformative pixels.

        Those are put to their constant, from which an image that this gate admits differs by a grey level at
        most; what the networks were trained on, whole images, looks the same. `image` itself without a mask.
        """
        return image if self.mask is None else self.mask.cleaned(image)

    def _joint_reasons(self, figures: QualityFigures) -> list[str]:
        checks = (
            (self.mask, figures.binned),
            (self.appearance, figures.cells),
            (self.directions, figures.profile),
        )
        found = []
        for check, values in checks:
            if check is not None:
                found += (
                    ["too small to be compared with normal images"]
                    if values is None
                    else check.reasons(values)
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by :meth:`from_dict`."""
        parts = {name: getattr(self, name) for name in _PARTS}
        return {
            "schema": SCHEMA,
            "fitted_on": self.fitted_on,
            "ranges": {
                name: [low, None if high == math.inf else high] for name, (low, high) in self.ranges.items()
            },
            **{name: None if part is None else part.to_dict() for name, part in parts.items()},
        }

    @classmethod
    def from_dict(cls, data: Any) -> QualityGate:
        """Reads and checks what :meth:`to_dict` wrote.

        Raises:
            PolicyError: Naming the field that is wrong.
        """
        required = {"schema", "fitted_on", "ranges"}
        if not isinstance(data, Mapping) or not required <= set(data) <= {*required, *_PARTS}:
            raise PolicyError(
                "quality gate: expected the keys schema, fitted_on and ranges, and none but "
                f"{', '.join(_PARTS)} beside them"
            )
        if data["schema"] != SCHEMA or isinstance(data["schema"], bool):
            raise PolicyError(
                f"quality gate: schema {data['schema']!r} is not supported, only {SCHEMA}; calibrate again with this "
                "version of waferroute"
            )
        fitted_on, ranges = data["fitted_on"], data["ranges"]
        if not isinstance(fitted_on, int) or isinstance(fitted_on, bool) or fitted_on < 0:
            raise PolicyError(f"quality gate: fitted_on must be a number of images, got {fitted_on!r}")
        if not isinstance(ranges, Mapping) or set(ranges) != set(FIGURES):
            raise PolicyError(f"quality gate: ranges must hold exactly {', '.join(FIGURES)}")
        checked = {name: _checked_range(name, ranges[name]) for name in FIGURES}
        parts = {
            name: None if data.get(name) is None else kind.from_dict(data[name])
            for name, kind in _PARTS.items()
        }
        return cls(checked, fitted_on, **parts)


_PARTS: dict[str, Any] = {"appearance": Appearance, "directions": Directions, "mask": PixelMask}


def _checked_range(name: str, pair: Any) -> tuple[float, float]:
    if isinstance(pair, list | tuple) and len(pair) == 2:
        low, high = pair[0], math.inf if pair[1] is None else pair[1]
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
        if numbers and math.isfinite(low) and low <= high:
            return float(low), float(high)
    raise PolicyError(f"quality gate: range of {name} must be [low, high] with low <= high, got {pair!r}")


def fit_gate(figures: Sequence[QualityFigures], *, share: float = 0.01) -> QualityGate:
    """Gate from the figures of normal images: ranges and appearance; see :func:`fit_gate_images` for the rest.

    Each bound starts at the k-th most extreme of the n normal figures, k = max(1, floor(share (n + 1) / 7)):
    a fresh exchangeable image lies beyond it with probability k / (n + 1) at most, and all 7 bounds together
    refuse at most 7 k / (n + 1) (order statistics and the union bound; David & Nagaraja, "Order Statistics",
    2003). That is <= `share` from n = 7 / share - 1 on. Then it is moved outwards by a margin, which makes up
    for smaller n and lets defective wafers through to the models: with 100 normals or more a factor of 1.2
    towards blur (sharpness has no upper bound) and flat, 1.1 towards dark and bright; with fewer a factor of
    1.5 towards blur, one photographic stop (a factor of 2) towards dark and flat, a stop and at least 0.1
    towards bright. Always a standard deviation of 0.2 towards contrast (a defect that covers a fifth of the
    area at half of the grey range), a quarter of the area black, a tenth saturated.

    Raises:
        DataError: For fewer than 10 images or when one of them is constant or not finite.
    """
    count = len(figures)
    if count < MIN_FIT_IMAGES:
        raise DataError(f"the quality gate needs at least {MIN_FIT_IMAGES} normal images, got {count}")
    for position, figure in enumerate(figures):
        if not figure.std > CONSTANT_STD:
            raise DataError(
                f"normal image number {position} is constant or not finite; remove it before fitting the gate"
            )
    order = max(1, math.floor(share * (count + 1) / BOUND_COUNT))
    ordered = {name: np.sort([getattr(figure, name) for figure in figures]) for name in FIGURES}
    low = {name: float(values[order - 1]) for name, values in ordered.items()}
    high = {name: float(values[-order]) for name, values in ordered.items()}
    enough = count >= ENOUGH_IMAGES
    bright = 1.1 * high["mean"] if enough else high["mean"] + max(high["mean"], 0.1)
    cells = [figure.cells for figure in figures if figure.cells is not None]
    return QualityGate(
        {
            "mean": (low["mean"] / (1.1 if enough else 2), min(bright, 1.0)),
            "std": (low["std"] / (1.2 if enough else 2), high["std"] + 0.2),
            "black_share": (0.0, min(high["black_share"] + 0.25, 1.0)),
            "white_share": (0.0, min(high["white_share"] + 0.1, 1.0)),
            "sharpness": (low["sharpness"] / (1.2 if enough else 1.5), math.inf),
        },
        count,
        appearance=fit_appearance(np.stack(cells)) if len(cells) == count >= APPEARANCE_IMAGES else None,
    )


def fit_gate_images(
    images: Iterable[np.ndarray | TiledImage], *, share: float = 0.01, plant_every: int = 1
) -> QualityGate:
    """Gate with all its checks from normal images, float32 (S, S) or (3, S, S) in [0, 1], or large ones in tiles.

    Every `plant_every`-th image is also disturbed in each of the ways of `router.gate_disturbances`, some 5
    ms an image. Images are read once and not kept. Further to what :func:`fit_gate` says about the ranges,
    each of the other limits is passed by a fresh normal image with probability 1 / (n + 1) at most, before
    its margin; what all checks together refuse is measured by the calibration, on other normal images.

    Raises:
        DataError: As :func:`fit_gate`.
    """
    figures, planted, pixels = [], [], MaskFit()
    disturbed: dict[str, list[np.ndarray]] = {name: [] for name in DISTURBANCES}
    for place, image in enumerate(images):
        figures.append(measure_image(image))
        whole = image.whole if isinstance(image, TiledImage) else image
        pixels.add(whole)
        if place % plant_every == 0 and figures[-1].profile is not None:
            planted.append(place)
            for name, disturb in DISTURBANCES.items():
                disturbed[name].append(_profile(disturb(luminance(whole))))
    gate = fit_gate(figures, share=share)
    profiles = [figure.profile for figure in figures if figure.profile is not None]
    directions = None
    if len(profiles) == len(figures) and len(planted) >= ENOUGH_IMAGES:
        changed = {name: np.stack(rows) for name, rows in disturbed.items()}
        directions = fit_directions(np.stack(profiles), np.array(planted), changed)
    return QualityGate(gate.ranges, gate.fitted_on, gate.appearance, directions, pixels.mask())


def _profile(image: np.ndarray) -> np.ndarray:
    profile = measure_quality(image).profile
    assert profile is not None
    return profile
