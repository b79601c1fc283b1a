"""Quality gate: can this image be judged at all?

A blank, out-of-focus or saturated image holds no evidence that the wafer is good, and a detector trained on
sharp images may well give it a low score. So five cheap figures are compared with the range that normal
images of the same tool show, and an image outside goes to REVIEW with the reason in words. Real defects
must not end here but be judged by the models, hence the generous margins. numpy only: this runs on the
inspection tool for every image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from wafer_data.errors import InputError

SCHEMA = 1

BLACK_LEVEL = 2.5 / 255
WHITE_LEVEL = 252.5 / 255
# Below this an image is flat whatever its bit depth: some 6 levels of 16 bit, a fortieth of a level of 8 bit.
CONSTANT_STD = 1e-4
MIN_SIDE = 12
NOISE_CORRECTION = 1.1 / 16
MIN_FIT_IMAGES = 10
# One-sided bounds that can refuse an image: two each for mean and std; one each for the other figures.
BOUND_COUNT = 7


@dataclass(frozen=True, slots=True)
class QualityFigures:
    """Five figures of one grey image in [0, 1]; all NaN when a pixel is not finite.

    mean: mean grey. std: standard deviation of the grey values. black_share, white_share: share of pixels
    within two 8-bit levels of 0 and of 1. sharpness: detail a few pixels wide, free of pixel noise,
    relative to the brightness (see :func:`measure_quality`); does not change with the gain.
    """

    mean: float
    std: float
    black_share: float
    white_share: float
    sharpness: float


FIGURES = tuple(field.name for field in fields(QualityFigures))


def measure_quality(grey: np.ndarray) -> QualityFigures:
    """Quality figures of `grey`, shape (H, W), H and W >= 12, floating point in [0, 1].

    Sharpness is (E4 - 1.1 E1 / 16) / mean^2, not below 0, where E1 and E4 are the mean squared 5-point
    Laplacians of the image (every fourth row) and of its 4x4-binned copy. White pixel noise of variance s^2
    has a Laplacian energy of 20 s^2 (noise from a Laplacian: Immerkaer, "Fast noise variance estimation",
    1996), and binning divides s^2 by 16: the difference is free of noise, so a blurred picture does not
    pass as sharp because the camera's noise is. The tenth more covers the scatter of E4, some 4 % on 62 x
    62 pixels. Relative to the brightness and not to the variance, so that a large strong defect does not
    make a sharp image look blurred. Raises ValueError for another shape or an integer type.
    """
    if grey.ndim != 2 or min(grey.shape) < MIN_SIDE or grey.dtype.kind != "f":
        raise ValueError(
            f"measure_quality wants a 2-D float image of at least {MIN_SIDE} x {MIN_SIDE} pixels, "
            f"got {grey.dtype} {grey.shape}"
        )
    grey = np.ascontiguousarray(grey)
    with np.errstate(all="ignore"):
        mean = float(grey.mean())
    if not math.isfinite(mean):
        return QualityFigures(math.nan, math.nan, math.nan, math.nan, math.nan)
    centred = grey - grey.dtype.type(mean)
    variance = _mean_square(centred)
    binned = _halve(_halve(centred))
    # A quarter of the rows says enough about noise, and this is the dearest figure.
    detail = _laplacian_energy(binned) - NOISE_CORRECTION * _laplacian_energy(centred, every=4)
    return QualityFigures(
        mean=mean,
        std=math.sqrt(variance),
        black_share=np.count_nonzero(grey < BLACK_LEVEL) / grey.size,
        white_share=np.count_nonzero(grey > WHITE_LEVEL) / grey.size,
        sharpness=max(detail, 0.0) / mean**2 if mean > 0 else 0.0,
    )


def _mean_square(values: np.ndarray) -> float:
    # einsum, not dot: BLAS cuts a sum by its thread count, and the figure must not depend on that.
    return float(np.einsum("ij,ij->", values, values)) / values.size


def _halve(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape[0] // 2 * 2, grey.shape[1] // 2 * 2
    rows = grey[0:height:2] + grey[1:height:2]
    return (rows[:, 0:width:2] + rows[:, 1:width:2]) * grey.dtype.type(0.25)


def _laplacian_energy(grey: np.ndarray, every: int = 1) -> float:
    """Mean squared 5-point Laplacian over every `every`-th inner row."""
    centre = grey[1:-1:every]
    laplacian = centre[:, 1:-1] * grey.dtype.type(4)
    laplacian -= centre[:, :-2]
    laplacian -= centre[:, 2:]
    laplacian -= grey[:-2:every, 1:-1]
    laplacian -= grey[2::every, 1:-1]
    return _mean_square(laplacian)


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

    fitted_on: number of normal images behind the ranges. Whatever the ranges, an image that is constant or
    holds non-finite pixels is refused.
    """

    ranges: Mapping[str, tuple[float, float]]
    fitted_on: int

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
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by :meth:`from_dict`."""
        return {
            "schema": SCHEMA,
            "fitted_on": self.fitted_on,
            "ranges": {
                name: [low, None if high == math.inf else high] for name, (low, high) in self.ranges.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Any) -> QualityGate:
        """Reads and checks what :meth:`to_dict` wrote. Raises InputError naming the field that is wrong."""
        if not isinstance(data, Mapping) or set(data) != {"schema", "fitted_on", "ranges"}:
            raise InputError("quality gate: expected exactly the keys schema, fitted_on and ranges")
        if data["schema"] != SCHEMA:
            raise InputError(f"quality gate: schema {data['schema']!r} is not supported, only {SCHEMA}")
        fitted_on, ranges = data["fitted_on"], data["ranges"]
        if not isinstance(fitted_on, int) or isinstance(fitted_on, bool) or fitted_on < 0:
            raise InputError(f"quality gate: fitted_on must be a number of images, got {fitted_on!r}")
        if not isinstance(ranges, Mapping) or set(ranges) != set(FIGURES):
            raise InputError(f"quality gate: ranges must hold exactly {', '.join(FIGURES)}")
        return cls({name: _checked_range(name, ranges[name]) for name in FIGURES}, fitted_on)


def _checked_range(name: str, pair: Any) -> tuple[float, float]:
    if isinstance(pair, list | tuple) and len(pair) == 2:
        low, high = pair[0], math.inf if pair[1] is None else pair[1]
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
        if numbers and math.isfinite(low) and low <= high:
            return float(low), float(high)
    raise InputError(f"quality gate: range of {name} must be [low, high] with low <= high, got {pair!r}")


def fit_gate(figures: Sequence[QualityFigures], *, share: float = 0.01) -> QualityGate:
    """Ranges wide enough that fewer than about `share` of fresh normal images fall outside.

    Each bound starts at the k-th most extreme of the n normal figures, k = max(1, floor(share (n + 1) /
    7)): a fresh exchangeable image lies beyond it with probability k / (n + 1) at most, and all 7 bounds
    together refuse at most 7 k / (n + 1) (order statistics and the union bound; David & Nagaraja, "Order
    Statistics", 2003). That is <= `share` from n = 7 / share - 1 on. Then it is moved outwards by a margin,
    which makes up for smaller n and lets defective wafers through to the models: a factor of 1.5 towards
    blur (sharpness has no upper bound), one photographic stop (a factor of 2) towards dark and flat, a stop
    and at least 0.1 towards bright, a standard deviation of 0.2 (a defect that covers a fifth of the area
    at half of the grey range), a quarter of the area black, a tenth of it saturated.

    Raises InputError for fewer than 10 images or when one of them is constant or not finite.
    """
    count = len(figures)
    if count < MIN_FIT_IMAGES:
        raise InputError(f"the quality gate needs at least {MIN_FIT_IMAGES} normal images, got {count}")
    for position, figure in enumerate(figures):
        if not figure.std > CONSTANT_STD:
            raise InputError(
                f"normal image number {position} is constant or not finite; remove it before fitting the gate"
            )
    order = max(1, math.floor(share * (count + 1) / BOUND_COUNT))
    ordered = {name: np.sort([getattr(figure, name) for figure in figures]) for name in FIGURES}
    low = {name: float(values[order - 1]) for name, values in ordered.items()}
    high = {name: float(values[-order]) for name, values in ordered.items()}
    return QualityGate(
        {
            "mean": (low["mean"] / 2, min(high["mean"] + max(high["mean"], 0.1), 1.0)),
            "std": (low["std"] / 2, high["std"] + 0.2),
            "black_share": (0.0, min(high["black_share"] + 0.25, 1.0)),
            "white_share": (0.0, min(high["white_share"] + 0.1, 1.0)),
            "sharpness": (low["sharpness"] / 1.5, math.inf),
        },
        count,
    )
