"""What commonly goes wrong while an image is taken: planted on normal images, so that the gate learns to see it.

Blur, motion, lost contrast, wrong gain and stray light each change the figures of a whole image in their own
direction; a defect, which is local, hardly moves along it. So for each disturbance the normal images and their
disturbed copies give one direction (Fisher's linear discriminant: Fisher, "The use of multiple measurements in
taxonomic problems", 1936), and normal images alone the limit on it. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from router.gate_figures import PROFILE_LENGTH
from wafer_data.errors import InputError

FOLDS = 5
ALLOWANCE = 0.5
"""Room above the normal images' largest value, in standard deviations: a strong defect moves along any direction."""
LEAST_POWER = 0.5
"""Share of disturbed copies that a direction must find; one that finds fewer is not kept."""
_CLIP = 8.0
_RIDGE, _FLOOR = 0.05, 0.01
_BLUR_SIGMA, _MOTION_PIXELS = 2.0, 15


def _convolve(grey: np.ndarray, kernel: np.ndarray, axis: int) -> np.ndarray:
    """`grey` smoothed along one axis; beyond the border the outermost pixels go on."""
    reach = len(kernel) // 2
    padding = [(reach, reach) if i == axis else (0, 0) for i in range(2)]
    padded, length = np.pad(grey, padding, mode="edge"), grey.shape[axis]
    parts = (
        weight * np.take(padded, range(start, start + length), axis) for start, weight in enumerate(kernel)
    )
    return np.asarray(sum(parts), dtype=np.float32)


def blurred(grey: np.ndarray, sigma: float = _BLUR_SIGMA) -> np.ndarray:
    """Out of focus: a Gaussian of `sigma` pixels."""
    reach = np.arange(-int(3 * sigma + 1), int(3 * sigma + 1) + 1)
    kernel = np.exp(-0.5 * (reach / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    return _convolve(_convolve(grey, kernel, 0), kernel, 1)


def moved(grey: np.ndarray, axis: int, pixels: int = _MOTION_PIXELS) -> np.ndarray:
    """Moved while it was taken: averaged over `pixels` along the axis, 0 down or 1 across."""
    return _convolve(grey, np.full(pixels, 1 / pixels, np.float32), axis)


def flattened(grey: np.ndarray, contrast: float = 0.3) -> np.ndarray:
    """Little contrast around the mean grey, as through fog."""
    mean = grey.mean()
    return np.asarray(mean + np.float32(contrast) * (grey - mean), dtype=np.float32)


def gained(grey: np.ndarray, gain: float) -> np.ndarray:
    """Exposure, gain or beam current changed by a factor; clipped at white."""
    return np.clip(grey * np.float32(gain), 0, 1)


def lit(grey: np.ndarray, offset: float = 0.25) -> np.ndarray:
    """Stray light: everything brighter by the same amount; clipped at white."""
    return np.clip(grey + np.float32(offset), 0, 1)


DISTURBANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "blurred or out of focus": blurred,
    "moved while it was taken, up or down": lambda grey: moved(grey, 0),
    "moved while it was taken, sideways": lambda grey: moved(grey, 1),
    "too little contrast": flattened,
    "underexposed or wrong gain": lambda grey: gained(grey, 0.5),
    "overexposed or wrong gain": lambda grey: gained(grey, 2.0),
    "stray light": lit,
}
"""Words for the reason -> what is done to a normal image, float32 in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Directions:
    """One direction for each disturbance that shows in the figures of these normal images.

    Attributes:
        names: Words for the reasons, one a direction.
        location, scale: Of the profile's figures on normals, (11,).
        weights: (n, 11).
        offsets, limits: (n,); an image is refused where weights . z - offset exceeds the limit, in standard
            deviations of normal images.
    """

    names: tuple[str, ...]
    location: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    limits: np.ndarray

    def reasons(self, profile: np.ndarray) -> list[str]:
        """The disturbances that an image of this profile, (11,), shows."""
        values = self.weights @ _standard(profile, self.location, self.scale) - self.offsets
        if (values <= self.limits).all():  # not so where a value is not a number
            return []
        if not np.isfinite(values).all():
            return ["its figures are not finite"]
        return [
            f"{self.names[i]}: {values[i]:.3g} standard deviations of a normal image along that change, at most "
            f"{self.limits[i]:.3g}"
            for i in np.flatnonzero(values > self.limits)
        ]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_dict() == self.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by :meth:`from_dict`."""
        arrays = ("location", "scale", "weights", "offsets", "limits")
        return {"names": list(self.names)} | {name: getattr(self, name).tolist() for name in arrays}

    @classmethod
    def from_dict(cls, data: Any) -> Directions:
        """Reads and checks what :meth:`to_dict` wrote.

        Raises:
            InputError: Where it is malformed.
        """
        try:
            names = tuple(str(name) for name in data["names"])
            count = len(names)
            found = cls(
                names,
                checked_array(data["location"], (PROFILE_LENGTH,)),
                checked_array(data["scale"], (PROFILE_LENGTH,)),
                checked_array(data["weights"], (count, PROFILE_LENGTH)),
                checked_array(data["offsets"], (count,)),
                checked_array(data["limits"], (count,)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"quality gate: its directions are damaged ({error})") from error
        if not (found.scale > 0).all():
            raise InputError("quality gate: the scales of its directions must be positive")
        return found


def checked_array(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Finite float64 array of `shape` from JSON lists; raises ValueError otherwise."""
    array = np.array(values, dtype=np.float64)
    if shape == (0, PROFILE_LENGTH) and array.size == 0:
        return np.zeros(shape)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"expected {shape} finite numbers")
    return array


def fit_directions(
    normals: np.ndarray, planted: np.ndarray, disturbed: Mapping[str, np.ndarray]
) -> Directions | None:
    """Find the directions in which disturbances lie.

    They come from profiles of normal images (n, 11) and, for each disturbance, of the disturbed copies (m, 11) of
    the normals at the indices `planted` (m,).

    A limit is the largest value of any normal image that the direction was not fitted on (5 folds), plus 0.5.
    So of n normals one, at most, lies as far out: a fresh one lies beyond all of them with probability 1 / (n + 1).
    A direction on which less than half of the disturbed copies lie beyond the limit is left out; None if all are.
    """
    location = np.median(normals, axis=0)
    scale = 1.4826 * np.median(np.abs(normals - location), axis=0) + 1e-3
    z = _standard(normals, location, scale)
    rows = []
    for name, profiles in disturbed.items():
        changed = _standard(profiles, location, scale)
        limit, power = _crossed(z, planted, changed)
        if power >= LEAST_POWER:
            rows.append((name, *_direction(z, changed), limit))
    if not rows:
        return None
    names, weights, offsets, limits = zip(*rows, strict=True)
    return Directions(
        tuple(names),
        *(np.round(a, 6) for a in (location, scale, np.array(weights), np.array(offsets), np.array(limits))),
    )


def _crossed(z: np.ndarray, planted: np.ndarray, changed: np.ndarray) -> tuple[float, float]:
    """Limit for normals that took no part in their direction's fit, and the share of copies beyond it."""
    folds = np.arange(len(z)) % FOLDS
    values, found = np.empty(len(z)), np.empty(len(changed))
    for fold in range(FOLDS):
        inside, copies = folds != fold, folds[planted] != fold
        weights, offset = _direction(z[inside], changed[copies])
        values[~inside] = z[~inside] @ weights - offset
        found[~copies] = changed[~copies] @ weights - offset
    limit = max(float(values.max()), 1.0) + ALLOWANCE
    return limit, float((found > limit).mean())


def _direction(z: np.ndarray, changed: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights that best part both, such that normals have spread 1 along them, and the normals' mean there."""
    pooled = 0.5 * (np.cov(z, rowvar=False) + np.cov(changed, rowvar=False))
    pooled += np.diag(_RIDGE * np.diag(pooled) + _FLOOR)
    weights = np.linalg.solve(pooled, changed.mean(axis=0) - z.mean(axis=0))
    along = z @ weights
    weights = weights / max(float(along.std()), 1e-9)
    return weights, float(z.mean(axis=0) @ weights)


def _standard(profiles: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((profiles - location) / scale, -_CLIP, _CLIP)
