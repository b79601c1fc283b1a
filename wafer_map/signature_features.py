"""What distinguishes the signatures of wafer maps, as numbers that do not depend on the number of dies.

Every quantity is measured on the unit disc (a die's distance from the wafer's centre as a share of the outermost
die's), and is the same, or nearly so, for a map that was turned or mirrored. numpy only.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from wafer_map.regions import label_regions, shape_of

OFF, GOOD, BAD = -1, 0, 1
_RINGS, _SECTORS = 8, 16
_ANGLES = 24
_SCALES = (0.06, 0.12, 0.22)
_SEGMENTS = (0.4, 0.7)


def polar(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the wafer's centre, 0 to 1, and angle of every cell of a grid.

    Args:
        grid: int (h, w), OFF outside the wafer. Its wafer fills the grid's extent, as a circle or an ellipse (dies
            need not be square).

    Returns:
        Two float arrays (h, w); the radius is that of the ellipse through the outermost dies.
    """
    rows, columns = np.nonzero(grid != OFF)
    height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
    y = (np.arange(grid.shape[0]) - (rows.max() + rows.min()) / 2) / (height / 2)
    x = (np.arange(grid.shape[1]) - (columns.max() + columns.min()) / 2) / (width / 2)
    return np.hypot(y[:, None], x[None, :]), np.arctan2(-y[:, None], x[None, :])


def features(grid: np.ndarray) -> np.ndarray:
    """The features of one map.

    Args:
        grid: int (h, w): OFF, GOOD or BAD; cells that were not inspected are OFF.

    Returns:
        float64 (k,), finite.
    """
    on, bad = grid != OFF, (grid == BAD).astype(float)
    radius, angle = polar(grid)
    rate = bad[on].mean()
    spread = max((rate * (1 - rate)) ** 0.5, 0.02)
    parts = [
        [rate, np.log(rate + 0.005)],
        _radial(bad, on, radius, rate, spread),
        _angular(bad, on, radius, angle, rate),
        _scan(bad, on, radius, rate, spread),
        _lines(bad, on, rate, spread),
        _regions(bad, on, radius, angle),
        _radon(bad, on, rate),
        _neighbours(bad, on, rate),
    ]
    return np.concatenate([np.asarray(part, dtype=float) for part in parts])


def _radial(bad: np.ndarray, on: np.ndarray, radius: np.ndarray, rate: float, spread: float) -> list[float]:
    edges = np.sqrt(np.linspace(0, 1, _RINGS + 1)) * 1.02  # rings of equal area
    found = []
    for low, high in pairwise(edges):
        ring = on & (radius >= low) & (radius < high)
        found.append(bad[ring].mean() if ring.any() else rate)
    rim = on & (radius >= 0.9)
    core = on & (radius < 0.25)
    rim_rate = bad[rim].mean() if rim.any() else rate
    core_rate = bad[core].mean() if core.any() else rate
    return [*found, rim_rate, core_rate, (rim_rate - rate) / spread, (core_rate - rate) / spread]


def _angular(
    bad: np.ndarray, on: np.ndarray, radius: np.ndarray, angle: np.ndarray, rate: float
) -> list[float]:
    found: list[float] = []
    sector = ((angle + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
    for low, high in ((0.85, 1.2), (0.55, 0.85), (0.25, 0.55)):
        ring = on & (radius >= low) & (radius < high)
        total = np.bincount(sector[ring], minlength=_SECTORS)
        hot = np.bincount(sector[ring], weights=bad[ring], minlength=_SECTORS)
        smooth = lambda v: v + np.roll(v, 1) + np.roll(v, -1)  # noqa: E731
        share = smooth(hot) / np.maximum(smooth(total), 1)
        ordered = np.sort(share)
        wave = np.abs(np.fft.rfft(share - share.mean()))[1:5] / _SECTORS
        above = share > 0.5 * (share.max() + rate)
        found += [
            ordered[-1],
            ordered[-4],
            ordered[_SECTORS // 2],
            ordered[0],
            share.std(),
            _longest(above),
            *wave,
        ]
    return found


def _longest(ring: np.ndarray) -> float:
    """Longest run of a ring of booleans, as a share of it."""
    if ring.all():
        return 1.0
    doubled = np.concatenate([[False], ring, ring, [False]])
    edges = np.flatnonzero(np.diff(doubled.astype(int)))
    return float((edges[1::2] - edges[::2]).max(initial=0)) / len(ring)


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    half = max(1, int(np.ceil(2.5 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        # "same" would give the kernel's length where that is longer than the grid.
        values = np.apply_along_axis(lambda line: np.convolve(line, kernel)[half:-half], axis, values)
    return values


def _scan(bad: np.ndarray, on: np.ndarray, radius: np.ndarray, rate: float, spread: float) -> list[float]:
    found: list[float] = []
    side = max(bad.shape)
    for scale in _SCALES:
        sigma = scale * side / 2
        weight = _blur(on.astype(float), sigma)
        density = np.where(on, _blur(bad, sigma) / np.maximum(weight, 1e-9), 0.0)
        inside = density[on]
        place = np.unravel_index(np.argmax(density), density.shape)
        centred = (inside - rate) / spread
        inner = np.where(radius < 0.75, density, 0.0)
        found += [
            inside.max(), np.quantile(inside, 0.95), np.quantile(inside, 0.8), np.quantile(inside, 0.5),
            radius[place], centred.std(), float((centred**3).mean()), inner.max(),
        ]  # fmt: skip
    return found


def _lines(bad: np.ndarray, on: np.ndarray, rate: float, spread: float) -> list[float]:
    """How much denser the densest thin segment of any direction is than its surroundings."""
    found: list[float] = []
    side = max(bad.shape)
    excess = np.where(on, bad - rate, 0.0)
    for share in _SEGMENTS:
        half = max(2, round(share * side / 4))
        best = []
        for turn in range(_ANGLES):
            theta = np.pi * turn / _ANGLES
            steps = np.arange(-half, half + 1)
            dy, dx = np.rint(steps * np.sin(theta)).astype(int), np.rint(steps * np.cos(theta)).astype(int)
            best.append(float(_shifted_sum(excess, dy, dx).max()) / len(steps))
        best.sort()
        found += [
            best[-1],
            best[-3],
            best[len(best) // 2],
            best[-1] - best[len(best) // 2],
            best[-1] / spread,
        ]
    return found


def _shifted_sum(values: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    reach = int(max(np.abs(dy).max(), np.abs(dx).max()))
    padded = np.pad(values, reach)
    h, w = values.shape
    total = np.zeros_like(values)
    for y, x in zip(dy, dx, strict=True):
        total += padded[reach + y : reach + y + h, reach + x : reach + x + w]
    return total


def _regions(bad: np.ndarray, on: np.ndarray, radius: np.ndarray, angle: np.ndarray) -> list[float]:
    dies = on.sum()
    side = max(bad.shape)
    labels, count = label_regions(bad > 0)
    sizes = np.bincount(labels.ravel())[1:]
    found = [count / dies, (sizes <= 2).sum() / dies]
    order = np.argsort(sizes)[::-1][:2] + 1
    for label in [*order, *([0] * (2 - len(order)))]:
        if label == 0:
            found += [0.0] * 10
            continue
        rows, columns = np.nonzero(labels == label)
        shape = shape_of(rows, columns)
        r = radius[rows, columns]
        turned = np.sort(angle[rows, columns])
        gaps = np.diff(np.concatenate([turned, [turned[0] + 2 * np.pi]]))
        found += [
            shape.area / dies, shape.length / side, shape.width / side, shape.width / shape.length,
            shape.area / (np.pi / 4 * shape.length * max(shape.width, 0.5)), r.mean(), r.min(), r.max(), r.std(),
            1 - gaps.max() / (2 * np.pi),
        ]  # fmt: skip
    return found


def _radon(bad: np.ndarray, on: np.ndarray, rate: float) -> list[float]:
    """Statistics of the projections in all directions (Wu, Jang and Chen 2015, Radon features, made turn-invariant)."""
    rows, columns = np.nonzero(on)
    values = bad[rows, columns] - rate
    y, x = rows - rows.mean(), columns - columns.mean()
    side = max(bad.shape)
    profiles = []
    for turn in range(_ANGLES):
        theta = np.pi * turn / _ANGLES
        place = np.rint((x * np.cos(theta) + y * np.sin(theta)) + side / 2 + 1).astype(int).clip(0, side + 2)
        profiles.append(np.bincount(place, weights=values, minlength=side + 3) / side)
    table = np.stack(profiles)
    peaks = table.max(axis=1)
    mean = table.mean(axis=0)
    mean = (mean + mean[::-1]) / 2
    half = mean[: (len(mean) + 1) // 2]
    deviation = np.sort(table.std(axis=1))
    resampled = np.interp(np.linspace(0, len(half) - 1, 8), np.arange(len(half)), half)
    return [
        *resampled,
        peaks.max(),
        peaks.min(),
        peaks.std(),
        deviation[-1],
        deviation[0],
        deviation[len(deviation) // 2],
    ]


def _neighbours(bad: np.ndarray, on: np.ndarray, rate: float) -> list[float]:
    around = _shifted_sum(bad, *np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]).T) - bad
    mine = around[(bad > 0) & on]
    others = around[(bad == 0) & on]
    if not len(mine) or not len(others):
        return [0.0, 0.0, 0.0, 0.0, 0.0, float(len(mine) > 0)]
    return [
        mine.mean() / 8, others.mean() / 8, (mine == 0).mean(), (mine >= 3).mean(), (mine >= 5).mean(),
        mine.mean() / 8 - rate,
    ]  # fmt: skip
