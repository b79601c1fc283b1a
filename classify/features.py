"""What a defect looks like, as one vector: from what the students computed already, and the pixels around the peak.

numpy only: this runs on the inspection tool, for flagged images, in about a tenth of a millisecond.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

VERSION = 1
"""Number of this way to measure; a classifier of another one is refused."""
_SIDE = 32
_RINGS, _SECTORS = 6, 4
_HEAT = 9
_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.98, 0.995)
_LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_REACHES = (0.25, 0.5, 0.75)


def measure(image: np.ndarray, heat: np.ndarray, latent: np.ndarray, reference: float) -> np.ndarray:
    """The features of an image's strongest defect.

    Four groups: the latent (what kind of image); the heat map (height, extent, elongation, direction, distance of
    the peak from the border, neighbourhood of the peak); grey levels of two crops around the peak against the
    image's; their log power spectra in rings and sectors, which do not depend on where in the crop the defect lies.

    Args:
        image: The model input, float32 (S, S) in [0, 1], S >= 64.
        heat: Heat map (h, w), >= 0.
        latent: (k,).
        reference: The model's `map_reference`, > 0.

    Returns:
        float64 (k + n,), finite where the inputs are.
    """
    relative = heat.astype(np.float64) / reference
    row, column = divmod(int(relative.argmax()), relative.shape[1])
    y = int((row + 0.5) * image.shape[0] / relative.shape[0])
    x = int((column + 0.5) * image.shape[1] / relative.shape[1])
    crops = np.stack([_crop(image, y, x, _SIDE, 1), _crop(image, y, x, _SIDE, image.shape[0] // 64)])
    return np.concatenate([latent, _heat(relative, row, column), _grey(image, crops), _spectrum(crops)])


def _heat(relative: np.ndarray, row: int, column: int) -> np.ndarray:
    height, width = relative.shape
    peak = max(float(relative[row, column]), 1e-6)
    flat = np.sort(relative, axis=None)
    heights = np.log(flat[[int(q * (flat.size - 1)) for q in _QUANTILES]] + 1e-3)
    found = [np.log(peak + 1e-3), min(row + 0.5, height - row - 0.5) / height,
             min(column + 0.5, width - column - 0.5) / width]  # fmt: skip
    for reach in _REACHES:
        cells = flat.size - int(np.searchsorted(flat, reach * peak))
        found.append(np.log(max(cells, 1)))
    weight = np.square(relative * (relative > 0.25 * peak))
    weight /= max(float(weight.sum()), 1e-12)
    down, across = weight.sum(axis=1), weight.sum(axis=0)
    r, c = np.arange(height) / height, np.arange(width) / width
    mr, mc = down @ r, across @ c
    rr, cc = down @ np.square(r - mr), across @ np.square(c - mc)
    rc = (r - mr) @ weight @ (c - mc)
    middle, spread = (rr + cc) / 2, np.hypot((rr - cc) / 2, rc)
    long, short = np.sqrt(middle + spread), np.sqrt(max(middle - spread, 0.0))
    found += [np.log(long + 0.01), np.log(short + 0.01), np.log((long + 0.01) / (short + 0.01))]
    found += [(rr - cc) / (2 * middle + 1e-6), 2 * abs(rc) / (2 * middle + 1e-6)]
    found += [down.max(), across.max(), abs(mr - 0.5), abs(mc - 0.5)]
    near = _crop(relative, row, column, _HEAT, 1) / peak
    near = (near + near[::-1] + near[:, ::-1] + near[::-1, ::-1]) / 4  # a mirrored defect is the same defect
    corner = near[_HEAT // 2 :, _HEAT // 2 :]
    return np.concatenate(
        [heights, found, ((corner + corner.T) / 2)[_upper()], ((corner - corner.T) / 2)[_upper()]]
    )


def _grey(image: np.ndarray, crops: np.ndarray) -> np.ndarray:
    """Order statistics of the crops, from the image's mean, and how pixels differ from their neighbours."""
    coarse = image[::8, ::8]
    mean, spread = float(coarse.mean()), float(coarse.std())
    flat = np.sort(crops.reshape(2, -1), axis=1) - mean
    levels = flat[:, [int(q * (flat.shape[1] - 1)) for q in _LEVELS]].ravel()
    across, down = np.diff(crops, axis=2)[:, :-1], np.diff(crops, axis=1)[:, :, :-1]
    steep = np.square(across).mean(axis=(1, 2)), np.square(down).mean(axis=(1, 2))
    mixed = np.abs((across * down).mean(axis=(1, 2)))
    middle = crops[:, 12:20, 12:20].mean(axis=(1, 2)) - mean
    rows, columns = crops.mean(axis=2).std(axis=1), crops.mean(axis=1).std(axis=1)
    logs = np.log(np.concatenate([steep[0], steep[1], mixed, np.square(rows), np.square(columns)]) + 1e-6)
    return np.concatenate([levels, middle, logs, [mean, spread]])


def _spectrum(crops: np.ndarray) -> np.ndarray:
    waves = np.fft.rfft2((crops - crops.mean(axis=(1, 2), keepdims=True)) * _window())
    power = np.square(waves.real) + np.square(waves.imag)
    return np.log(power.reshape(2, -1) @ _polar() + 1e-4).ravel()


def _crop(plane: np.ndarray, row: int, column: int, side: int, step: int) -> np.ndarray:
    """(side, side) around a place, every `step`-th pixel's block averaged; moved inside at the border."""
    reach = side * step
    if reach > min(plane.shape):
        index = [np.clip(np.arange(side) * step + at - reach // 2, 0, n - 1)
                 for at, n in zip((row, column), plane.shape, strict=True)]  # fmt: skip
        return plane[np.ix_(*index)]
    top = min(max(row - reach // 2, 0), plane.shape[0] - reach)
    left = min(max(column - reach // 2, 0), plane.shape[1] - reach)
    cut = plane[top : top + reach, left : left + reach]
    return cut if step == 1 else cut.reshape(side, step, side, step).mean(axis=(1, 3))


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    one = np.hanning(_SIDE)
    return np.outer(one, one).astype(np.float32)


@lru_cache(maxsize=1)
def _upper() -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(_HEAT // 2 + 1)


@lru_cache(maxsize=1)
def _polar() -> np.ndarray:
    """(cells of half a spectrum, rings x sectors): which cell counts to which ring and sector."""
    fy, fx = np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.rfftfreq(_SIDE), indexing="ij")
    radius, angle = np.hypot(fy, fx), np.arctan2(fy, fx) % np.pi
    ring = np.clip((np.log2(radius * _SIDE + 1e-9) * _RINGS / np.log2(_SIDE / 2)).astype(int), 0, _RINGS - 1)
    sector = ((angle / np.pi * _SECTORS + 0.5) % _SECTORS).astype(int)
    group = (ring * _SECTORS + sector).ravel()
    inside = ((radius > 0) & (radius <= 0.5)).ravel()
    table = np.zeros((group.size, _RINGS * _SECTORS), dtype=np.float32)
    table[np.flatnonzero(inside), group[inside]] = 1.0
    return table / np.maximum(table.sum(axis=0), 1.0)
