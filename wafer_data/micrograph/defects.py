"""The defects by type, and how strong one is: chosen so that a person can see it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wafer_data.errors import InputError
from wafer_data.micrograph.change import Change, View
from wafer_data.micrograph.pattern_defects import bridge, missing_feature, pattern_shift
from wafer_data.micrograph.scene import Scene
from wafer_data.micrograph.surface_defects import particle, residue, scratch, stain
from wafer_data.micrograph.types import DEFECT_TYPES

VISIBLE_PIXELS = 12  # so many pixels must stand out,
VISIBLE_CONTRAST = 3.0  # by so many standard deviations of the noise
VISIBLE_SHARE = 0.1  # and of a large defect so large a share of its pixels,
_FAINTEST, _STRONGEST = 3.5, 14.0  # contrast that is aimed at, in the same unit
# What lies on the surface may be thin; what is solid, or part of the pattern, is there or not.
_LEAST_STRENGTH = {"particle": 0.5, "bridge": 0.4, "missing_feature": 0.4, "pattern_shift": 1.0}
_ATTEMPTS = 8
_LAST_ATTEMPT = 100  # where a rough pattern left no place for it: a gap that is closed already
_COVERED = 0.15  # a pixel belongs to the defect where its blurred footprint is this dense
_LEAST_STEP = 1.01 / 255  # no masked pixel changes by less: each differs, also in 8 bits

_PAINTERS: dict[str, Callable[[View, np.random.Generator], Change]] = {
    "scratch": scratch,
    "particle": particle,
    "residue": residue,
    "bridge": bridge,
    "missing_feature": missing_feature,
    "pattern_shift": pattern_shift,
    "stain": stain,
}


@dataclass(frozen=True)
class Severity:
    """How visible a defect is.

    Attributes:
        area_px: Pixels of its mask.
        contrast_to_noise: Change of the noise-free grey over the noise's standard deviation that a tenth of
            the mask's pixels, at least 12, reach or exceed.
        visible_px: Pixels that reach `VISIBLE_CONTRAST`.
        strength: Share of the full change of grey, in (0, 1].
    """

    area_px: int
    contrast_to_noise: float
    visible_px: int
    strength: float


def add_defect(scene: Scene, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Severity]:
    """Paint one defect: (image, mask, severity), float32 and bool (S, S).

    The strength aims at a contrast between 3.5 and 14 standard deviations of the noise (log-uniform), as far
    as the full change allows. A draw that not even at full strength shows by `VISIBLE_CONTRAST` on
    `VISIBLE_PIXELS` pixels is repeated, up to eight times; then the most visible one stays. Outside the mask
    the image equals the one without defect to the last bit; inside, every pixel differs by at least one step
    of 8 bits.

    Raises:
        InputError: If a hundred draws find no place where anything would change at all.
    """
    view = View.of(scene)
    signal = scene.signal(view.ideal)
    noise = np.hypot(scene.noise_std(signal), np.float32(scene.config.line_noise))
    aim = math.exp(rng.uniform(math.log(_FAINTEST), math.log(_STRONGEST)))
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for attempt in range(_LAST_ATTEMPT):
        change, mask = _seen(scene, _PAINTERS[kind](view, rng))
        full = _contrast(change, noise, mask)
        if mask.any() and (best is None or full > best[0]):
            best = (full, change, mask)
        if best is not None and (best[0] >= VISIBLE_CONTRAST or attempt >= _ATTEMPTS - 1):
            break
    if best is None:
        raise InputError(
            f"these settings of a synthetic micrograph leave no room for a defect of type {kind}: "
            "choose a larger pitch, less roughness or less blur"
        )
    full, change, mask = best
    strength = min(1.0, max(aim / max(full, 1e-6), _LEAST_STRENGTH.get(kind, 0.0)))
    change *= np.float32(strength)
    image = _composed(scene.expose(signal), scene.expose(signal + change), mask)
    ratio = np.abs(change[mask]) / noise[mask]
    visible = int(np.count_nonzero(ratio >= VISIBLE_CONTRAST))
    severity = Severity(int(mask.sum()), round(full * strength, 2), visible, round(strength, 3))
    return image, mask, severity


def _seen(scene: Scene, change: Change) -> tuple[np.ndarray, np.ndarray]:
    """Change of the signal (S, S) and mask, from the change of the surface: the same blur, contrast, light."""
    if not change.footprint.any():
        return np.zeros(change.footprint.shape, dtype=np.float32), change.footprint
    rows, columns = (np.flatnonzero(change.footprint.any(axis=axis)) for axis in (1, 0))
    margin = math.ceil(4 * scene.blur)
    window = tuple(slice(max(0, int(at[0]) - margin), int(at[-1]) + margin + 1) for at in (rows, columns))
    blurred, cover = (
        ndimage.gaussian_filter(part[window].astype(np.float32), scene.blur, mode="nearest", truncate=3.5)
        for part in (change.grey, change.footprint)
    )
    mask = np.zeros(change.footprint.shape, dtype=bool)
    mask[window] = cover > _COVERED
    signal = np.zeros(mask.shape, dtype=np.float32)
    signal[window] = np.float32(scene.gain) * scene.light[window] * blurred * mask[window]
    return signal, mask


def _contrast(change: np.ndarray, noise: np.ndarray, mask: np.ndarray) -> float:
    """The contrast-to-noise ratio of `Severity`; 0 if the mask is smaller than VISIBLE_PIXELS."""
    ratio = np.abs(change[mask]) / noise[mask]
    if ratio.size < VISIBLE_PIXELS:
        return 0.0
    place = ratio.size - max(VISIBLE_PIXELS, math.ceil(VISIBLE_SHARE * ratio.size))
    return float(np.partition(ratio, place)[place])


def _composed(normal: np.ndarray, changed: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`changed` inside the mask, `normal` outside. Masked pixels that would stay the same get one 8-bit step."""
    step = np.float32(_LEAST_STEP)
    same = np.abs(changed - normal) < step
    away = np.where(normal < 0.5, step, -step)
    return np.where(mask, np.where(same, normal + away, changed), normal)


assert set(_PAINTERS) == set(DEFECT_TYPES)
