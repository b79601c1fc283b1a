"""Is there a pattern that repeats, at what distance and in which direction? Read off the autocorrelation.

Directions are in degrees from 0 up to 180, counter-clockwise from the right as the image is seen: 0 is
horizontal, 90 vertical. Distances are in pixels of the stored images.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates, median_filter
from scipy.signal import find_peaks

from eval.explore.texture import radial_mean

DIRECTIONS = 180
STEP = 0.25  # pixels
SHORTEST = 3.0  # pixels; resizing and the sampling itself blur what is finer

RISE, EXCESS, LASTING = 0.15, 0.1, 0.5
"""The rule for a periodic pattern; see `Pattern`."""
PEAK = 2.0
"""A peak of the radial spectrum stands out when it is this many times the trend around it."""


@dataclass(frozen=True)
class Pattern:
    """The autocorrelation's first repetition, if it has one.

    Attributes:
        period_px: Shift at which the images look like themselves again.
        direction: Of that shift.
        height: Correlation there.
        rise: How far it climbed from its lowest value on the way.
        excess: How far it lies above the mean over all directions at that distance: texture with a preferred
            spacing but no order has none.
        second_excess: The same at twice the shift.
        periodic: Rise >= 0.15, excess >= 0.1, and second_excess at least half of excess.
    """

    period_px: float
    direction: float
    height: float
    rise: float
    excess: float
    second_excess: float
    periodic: bool


@dataclass(frozen=True)
class Grain:
    """How far neighbouring pixels go together: distance at which the correlation falls below 1/e.

    None where it stays above as far as it can be measured (`limit_px`).
    """

    longest_px: float | None
    longest_direction: float
    shortest_px: float | None
    shortest_direction: float
    limit_px: float


@dataclass(frozen=True)
class RadialPeak:
    """Where the radial power spectrum stands highest above its trend (running median over an octave and a half).

    Attributes:
        cycles: Frequency in cycles an image, at least 3.
        period_px: S / cycles.
        ratio: Height over the trend.
    """

    cycles: int
    period_px: float
    ratio: float
    stands_out: bool


def to_rays(correlation: np.ndarray) -> np.ndarray:
    """Correlation (2 R + 1, 2 R + 1) along 180 directions out to R, float64 (180, R / STEP + 1)."""
    reach = len(correlation) // 2
    angles = np.deg2rad(np.arange(DIRECTIONS) * 180 / DIRECTIONS)
    radii = np.arange(0, reach + STEP / 2, STEP)
    rows = reach - np.sin(angles)[:, None] * radii  # image rows count downwards
    columns = reach + np.cos(angles)[:, None] * radii
    rays: np.ndarray = map_coordinates(correlation, [rows, columns], order=3, mode="nearest")
    return rays


def find_pattern(rays: np.ndarray) -> Pattern | None:
    """The shortest of the strongest repetitions within half the rays' length; None if nothing ever rises."""
    half = rays.shape[1] // 2
    firsts = [_first_peak(ray[: half + 1]) for ray in rays]
    heights = np.array([ray[place] if place else -np.inf for ray, place in zip(rays, firsts, strict=True)])
    if not np.isfinite(heights).any():
        return None
    radii = np.where(heights >= 0.9 * heights.max(), [place or 0 for place in firsts], np.inf)
    first = int(radii.argmin())
    # Along a line of the pattern all directions near its normal see it, a little farther off: their middle.
    low, high = _run_around(first, radii <= 1.02 * radii[first])
    direction = (low + high) / 2
    middle = round(direction) % DIRECTIONS
    if not np.isfinite(radii[middle]):
        middle, direction = first, float(first)
    place = int(radii[middle])
    ring = rays.mean(axis=0)
    ray = rays[middle]
    height = float(ray[place])
    rise = height - float(ray[:place].min())
    excess = height - float(ring[place])
    second = float(ray[2 * place] - ring[2 * place])
    return Pattern(
        period_px=STEP * _summit(ray, place),
        direction=direction * 180 / DIRECTIONS % 180,
        height=height,
        rise=rise,
        excess=excess,
        second_excess=second,
        periodic=bool(rise >= RISE and excess >= EXCESS and second >= LASTING * excess),
    )


def find_grain(rays: np.ndarray) -> Grain:
    """Correlation lengths in the directions where they are longest and shortest."""
    below = rays < 1 / np.e
    lengths = np.where(below.any(axis=1), STEP * below.argmax(axis=1), np.inf)
    longest, shortest = _middle_of_extreme(lengths, lengths.max()), _middle_of_extreme(lengths, lengths.min())
    turn = 180 / DIRECTIONS
    return Grain(
        longest_px=_finite(lengths[longest]),
        longest_direction=longest * turn,
        shortest_px=_finite(lengths[shortest]),
        shortest_direction=shortest * turn,
        limit_px=STEP * (rays.shape[1] - 1),
    )


def find_radial_peak(spectrum: np.ndarray) -> RadialPeak:
    """The most outstanding frequency of a centred power spectrum (S, S)."""
    profile = radial_mean(spectrum)
    cycles = np.arange(1, len(profile) + 1)
    power = np.log(np.maximum(profile, 1e-12))
    # Evenly spaced in octaves, so that the trend of a spectrum that falls by a power law is a straight line.
    octaves = np.linspace(0, np.log2(cycles[-1]), 24 * max(1, int(np.log2(cycles[-1]))))
    per_octave = len(octaves) / max(1.0, octaves[-1])
    trend = median_filter(
        np.interp(octaves, np.log2(cycles), power), int(1.5 * per_octave) | 1, mode="nearest"
    )
    above = power - np.interp(np.log2(cycles), octaves, trend)
    place = 2 + int(above[2:].argmax())
    ratio = float(np.exp(above[place]))
    return RadialPeak(int(cycles[place]), len(spectrum) / float(cycles[place]), ratio, ratio >= PEAK)


def _first_peak(ray: np.ndarray) -> int | None:
    """Position of the first peak of a ray that counts: one that climbed, and nearly as high as any later one."""
    places, _ = find_peaks(ray)
    lowest = np.minimum.accumulate(ray)
    places = places[(places >= SHORTEST / STEP) & (ray[places] - lowest[places] >= RISE / 2)]
    if not len(places):
        return None
    high_enough = ray[places] >= 0.9 * ray[places].max()
    return int(places[high_enough.argmax()])


def _summit(ray: np.ndarray, place: int) -> float:
    """The top of the parabola through a peak and its two neighbours, in steps."""
    before, top, after = ray[place - 1 : place + 2]
    bend = before - 2 * top + after
    return place + (0.5 * float(before - after) / float(bend) if bend < 0 else 0.0)


def _run_around(place: int, belongs: np.ndarray) -> tuple[int, int]:
    """First and last direction of the unbroken run around `place`; they may leave 0 .. 179 at either end."""
    low = high = place
    while high - low < DIRECTIONS // 2 and belongs[(low - 1) % DIRECTIONS]:
        low -= 1
    while high - low < DIRECTIONS // 2 and belongs[(high + 1) % DIRECTIONS]:
        high += 1
    return low, high


def _middle_of_extreme(lengths: np.ndarray, extreme: float) -> int:
    """The direction in the middle of those that share the extreme length, as far as they lie side by side."""
    shared = lengths == extreme
    if shared.all():
        return 0
    low, high = _run_around(int(shared.argmax()), shared)
    return round((low + high) / 2) % DIRECTIONS


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
