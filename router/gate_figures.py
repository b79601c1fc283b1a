"""Cheap figures of one grey image, from which the quality gate judges whether it can be judged at all.

numpy only, and fast: this runs on the inspection tool for every image, so rows are skipped where a part of them
says enough, and every coarser picture is made from the last. Half of the time goes into the number of calls, not
into pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace

import numpy as np

from wafer_data.imaging.planes import luminance
from wafer_data.imaging.tiling import TiledImage

BLACK_LEVEL = 2.5 / 255
WHITE_LEVEL = 252.5 / 255
MIN_SIDE = 12
NOISE_CORRECTION = 1.1 / 16
BIN = 4
"""Side of the bins, in pixels, that the coarse picture averages."""
GRID = 8
"""Cells a side over which the coarse figures are taken."""
_NOISE_EVERY, _BANDS = 16, 8
_ROWS_EVERY = 13  # odd: it falls in step with no pattern of lines a few pixels apart
_GROUP = 4
_QUANTILES = [5, 16, 47, 58]  # of the ordered cells; beyond them a defect of some cells may lie
_CELL_FLOOR, _ENERGY_FLOOR = 0.02, 1e-6


@dataclass(frozen=True, slots=True)
class QualityFigures:
    """Figures of one grey image in [0, 1]; all NaN when a pixel is not finite.

    Attributes:
        mean: Mean grey.
        std: Standard deviation of the grey values.
        black_share, white_share: Share of pixels within two 8-bit levels of 0 and of 1.
        sharpness: Detail a few pixels wide, free of pixel noise, relative to the brightness (see
            :func:`measure_quality`); does not change with the gain.
        profile: How bright and how detailed most of the image is, float64 (11,): log brightness of the middle
            one of 8 x 8 cells; log detail down and across at 2, 4 and 8 pixels, relative to it; log of four
            quantiles of the cells' brightness, relative to it.
        cells: Of each of those cells, its log brightness relative to the middle one and its log detail across
            and down at 4 pixels, float32 (192,).
        binned: The image averaged over 4 x 4 pixels, float32, if asked for; of colour each channel. All three
            None for an image below 32 pixels a side.
    """

    mean: float
    std: float
    black_share: float
    white_share: float
    sharpness: float
    profile: np.ndarray | None = field(default=None, compare=False, repr=False)
    cells: np.ndarray | None = field(default=None, compare=False, repr=False)
    binned: np.ndarray | None = field(default=None, compare=False, repr=False)


FIGURES = tuple(item.name for item in fields(QualityFigures) if item.compare)
PROFILE_LENGTH = 11
SHARP_TILES = 5
"""Of a large image: its corners and its middle, where there are 3 x 3."""
CELL_VALUES = 3 * GRID * GRID


def measure_quality(
    grey: np.ndarray, *, binned: bool = True, checked: bool = False, cells: bool = True
) -> QualityFigures:
    """Figures of `grey`, shape (H, W), H and W >= 12, floating point in [0, 1].

    Of the image's bands of 4 rows every other 4 are looked at (all, where it does not divide so). Sharpness
    is (E4 - 1.1 E1 / 16) / mean^2, not below 0, where E1 and E4 are the mean squared 5-point Laplacians of
    the image (every sixteenth row) and of the 4x4-binned bands. White pixel noise of variance s^2 has a
    Laplacian energy of 20 s^2 (noise from a Laplacian: Immerkaer, "Fast noise variance estimation", 1996),
    and binning divides s^2 by 16: the difference is free of noise, so a blurred picture does not pass as
    sharp because the camera's noise is. The tenth more covers the scatter of E4, some 7 % on 16 x 62 bins.
    Relative to the brightness and not to the variance, so that a large strong defect does not make a sharp
    image look blurred. The mean is that of the bands; standard deviation (around it) and shares are those of
    every 13th row; rows and columns beyond a multiple of 4 do not count.

    Args:
        binned: Also give the whole image's `binned`, which only a pixel mask needs.
        checked: The caller knows that all pixels are finite, as those of a decoded image are.
        cells: Also give `profile` and `cells`.

    Raises:
        ValueError: For another shape or an integer type.
    """
    if grey.ndim != 2 or min(grey.shape) < MIN_SIDE or grey.dtype.kind != "f":
        raise ValueError(
            f"measure_quality wants a 2-D float image of at least {MIN_SIDE} x {MIN_SIDE} pixels, "
            f"got {grey.dtype} {grey.shape}"
        )
    grey = np.ascontiguousarray(grey[: grey.shape[0] // BIN * BIN, : grey.shape[1] // BIN * BIN])
    if not checked:
        flat = grey.reshape(-1)
        with np.errstate(all="ignore"):
            finite = math.isfinite(np.vdot(flat, flat))
        if not finite:
            return QualityFigures(math.nan, math.nan, math.nan, math.nan, math.nan)
    upper, lower = _looked_at(grey)
    coarse = _halve_columns(upper + lower, 0.25)
    mean = float(np.add.reduce(coarse, axis=None)) / coarse.size
    rows = grey[::_ROWS_EVERY]
    detail = _laplacian_energy(coarse) - NOISE_CORRECTION * _laplacian_energy(grey[None], _NOISE_EVERY)
    large = min(grey.shape) >= BIN * GRID
    profile, values = _coarse(upper, lower, coarse) if large and cells else (None, None)
    return QualityFigures(
        mean=mean,
        std=math.sqrt(_mean_square(rows - grey.dtype.type(mean))),
        black_share=np.count_nonzero(rows < BLACK_LEVEL) / rows.size,
        white_share=np.count_nonzero(rows > WHITE_LEVEL) / rows.size,
        sharpness=max(detail, 0.0) / mean**2 if mean > 0 else 0.0,
        profile=profile,
        cells=values,
        binned=_halve(_halve(grey)) if binned and large else None,
    )


def measure_image(
    image: np.ndarray | TiledImage, *, binned: bool = True, checked: bool = False
) -> QualityFigures:
    """`measure_quality` of an image, or of a large one: then of the whole, shrunk, but for its sharpness.

    Of colour planes, (3, S, S), the luminance is measured; `binned` alone keeps the channels, (3, S / 4, S / 4).
    Sharpness is the median over `SHARP_TILES` of its tiles, evenly spaced: a blur that costs a small defect its
    contrast is gone after shrinking.
    """
    if not isinstance(image, TiledImage):
        return _measured(image, binned, checked)
    count = len(image.tiles)
    chosen = sorted({round(i * (count - 1) / (SHARP_TILES - 1)) for i in range(SHARP_TILES)})
    sharp = [
        measure_quality(luminance(image.tiles[i]), binned=False, checked=checked, cells=False).sharpness
        for i in chosen
    ]
    whole = _measured(image.whole, binned, checked)
    return replace(whole, sharpness=float(np.median(sharp)))


def _measured(image: np.ndarray, binned: bool, checked: bool) -> QualityFigures:
    if image.ndim == 2:
        return measure_quality(image, binned=binned, checked=checked)
    found = measure_quality(luminance(image), binned=False, checked=checked)
    if not binned or found.profile is None:
        return found
    return replace(found, binned=np.stack([_halve(_halve(plane)) for plane in image]))


def _looked_at(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower halves, averaged over 2 x 2 pixels, of the bands of 4 rows that are looked at.

    Both (groups, bands, W / 2). Every other group of 4 bands: half an image says as much about the whole one. A small
    image, or one that cannot be cut so, is one group with all its bands.
    """
    height, width = grey.shape
    bands = height // BIN
    split = bands % (2 * _GROUP) == 0 and bands >= 2 * _GROUP * GRID
    groups = grey.reshape(bands // (2 * _GROUP) if split else 1, -1, BIN, width)[
        :, : _GROUP if split else None
    ]
    upper, lower = (_halve_columns(groups[:, :, i] + groups[:, :, i + 1], 0.25) for i in (0, 2))
    return upper, lower


def _coarse(upper: np.ndarray, lower: np.ndarray, binned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`profile` and `cells` from both halves of the 2x2-binned bands and the 4x4-binned ones.

    Medians over parts of the image throughout: a defect, however strong, must not look like a fault of the whole.
    """
    groups, bands, width = binned.shape
    planes = np.empty((3, groups, bands, width), binned.dtype)
    planes[0] = binned
    planes[1, :, :, 0] = planes[2, :, 0] = 0
    np.subtract(binned[:, :, 1:], binned[:, :, :-1], out=planes[1, :, :, 1:])
    np.subtract(binned[:, 1:], binned[:, :-1], out=planes[2, :, 1:])
    np.multiply(planes[1:], planes[1:], out=planes[1:])
    cells = _cell_means(planes.reshape(3, groups * bands, width)).reshape(3, -1)
    ordered = np.sort(cells, axis=1)
    brightness, across, down = (float(row[31] + row[32]) / 2 for row in ordered)
    even = bands // 2 * 2
    coarser = _halve_columns(binned[:, 0:even:2] + binned[:, 1:even:2], 0.25)
    pairs = coarser.shape[1] // 2 * 2
    energies = [
        _typical_square(upper - lower),
        _typical_square(upper[:, :, 1:] - upper[:, :, :-1]),
        down,
        across,
        _typical_square(coarser[:, 1:pairs:2] - coarser[:, 0:pairs:2]),
        _typical_square(coarser[:, :, 1:] - coarser[:, :, :-1]),
    ]
    middle = max(brightness, 1e-4)
    log_middle, power = math.log(middle), middle**-2
    profile = [log_middle]
    profile += [0.5 * math.log(energy * power + _ENERGY_FLOOR / 10) for energy in energies]
    profile += [math.log(float(ordered[0, k]) + _CELL_FLOOR) - log_middle for k in _QUANTILES]
    cells[0] += np.float32(_CELL_FLOOR)
    cells[1:] *= np.float32(power)
    cells[1:] += np.float32(_ENERGY_FLOOR)
    logs = np.log(cells)
    logs[0] -= np.float32(log_middle)
    logs[1:] *= np.float32(0.5)
    return np.array(profile), logs.reshape(-1)


def _mean_square(values: np.ndarray) -> float:
    # einsum, not dot: BLAS cuts a sum by its thread count, and the figure must not depend on that.
    return float(np.einsum("ij,ij->", values, values)) / values.size


def _typical_square(values: np.ndarray) -> float:
    """Median over up to 8 bands of rows of the mean square in each; values (groups, rows, columns)."""
    values = values.reshape(-1, values.shape[-1])
    bands = min(_BANDS, len(values))
    rows = values[: len(values) // bands * bands].reshape(bands, -1)
    squares = sorted(np.einsum("ij,ij->i", rows, rows).tolist())
    return float(squares[(bands - 1) // 2] + squares[bands // 2]) / (2 * rows.shape[1])


def _halve_columns(values: np.ndarray, factor: float) -> np.ndarray:
    width = values.shape[-1] // 2 * 2
    return (values[..., 0:width:2] + values[..., 1:width:2]) * values.dtype.type(factor)


def _halve(grey: np.ndarray) -> np.ndarray:
    height = grey.shape[0] // 2 * 2
    return _halve_columns(grey[0:height:2] + grey[1:height:2], 0.25)


def _cell_means(planes: np.ndarray) -> np.ndarray:
    """Means of planes (3, h, w) over GRID x GRID equal cells, (3, GRID, GRID); the rest beyond them is left out."""
    height, width = (side // GRID for side in planes.shape[1:])
    rows = planes[:, : height * GRID, : width * GRID].reshape(3 * GRID, height, width * GRID)
    sums = np.add.reduce(np.add.reduce(rows, axis=1).reshape(3 * GRID, GRID, width), axis=2)
    return (sums * planes.dtype.type(1 / (height * width))).reshape(3, GRID, GRID)


def _laplacian_energy(grey: np.ndarray, every: int = 1) -> float:
    """Mean squared 5-point Laplacian over every `every`-th inner row of each group; grey (groups, rows, columns)."""
    centre = grey[:, 1:-1:every]
    laplacian = centre[:, :, 1:-1] * grey.dtype.type(4)
    laplacian -= centre[:, :, :-2]
    laplacian -= centre[:, :, 2:]
    laplacian -= grey[:, :-2:every, 1:-1]
    laplacian -= grey[:, 2::every, 1:-1]
    return _mean_square(laplacian.reshape(-1, laplacian.shape[-1]))
