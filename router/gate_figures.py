"""Cheap figures of one grey image, from which the quality gate judges whether it can be judged at all.

numpy only, and fast: this runs on the inspection tool for every image, so rows are skipped where a part of them
says enough, and every coarser picture is made from the last. Half of the time goes into the number of calls, not
into pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from router.gate_coarse import GRID, coarse_figures, halve_columns
from wafer_data.imaging.planes import luminance
from wafer_data.imaging.tiling import TiledImage

BLACK_LEVEL = 2.5 / 255
WHITE_LEVEL = 252.5 / 255
MIN_SIDE = 12
NOISE_CORRECTION = 1.1 / 16
BIN = 4
"""Side of the bins, in pixels, that the coarse picture averages."""
_NOISE_EVERY = 16
_ROWS_EVERY = 13  # odd: it falls in step with no pattern of lines a few pixels apart
_GROUP = 4


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
    if not checked:
        flat = np.ascontiguousarray(grey).reshape(-1)
        with np.errstate(all="ignore"):
            finite = math.isfinite(np.vdot(flat, flat))
        if not finite:
            return QualityFigures(math.nan, math.nan, math.nan, math.nan, math.nan)
    return _together([grey], binned, cells)[0]


def measure_images(images: Sequence[np.ndarray], *, binned: bool = True) -> list[QualityFigures]:
    """`measure_image` of each, the same to the last bit; images whose pixels are known to be finite.

    Grey ones of one size are measured together: sixteen take 0.6 of the time of one after the other.
    """
    shapes = {image.shape for image in images}
    if len(shapes) == 1 and len(*shapes) == 2:
        return _together(images, binned, cells=True)
    return [measure_image(image, binned=binned, checked=True) for image in images]


def _together(images: Sequence[np.ndarray], binned: bool, cells: bool) -> list[QualityFigures]:
    """Figures of images of one shape: what is read of their pixels one by one, what is made of that together."""
    height, width = (side // BIN * BIN for side in images[0].shape)
    greys = [np.ascontiguousarray(image[:height, :width]) for image in images]
    count, kind, large = len(greys), greys[0].dtype, min(height, width) >= BIN * GRID
    upper, lower = (_joined(parts) for parts in zip(*map(_looked_at, greys), strict=True))
    rows = _stacked([grey[::_ROWS_EVERY] for grey in greys])
    above, centre, below = (
        _stacked([grey[row : height - 2 + row : _NOISE_EVERY] for grey in greys]) for row in range(3)
    )
    coarse = halve_columns(upper + lower, 0.25)
    means = [float(np.add.reduce(own, axis=None)) / own.size for own in coarse.reshape(count, -1)]
    black, white = rows < BLACK_LEVEL, rows > WHITE_LEVEL
    rows = rows - np.array(means, kind)[:, None, None]
    detail = _laplacian_energies(coarse[:, :-2], coarse[:, 1:-1], coarse[:, 2:], count)
    noise = _laplacian_energies(above, centre, below, count)
    profiles, values = (
        coarse_figures(upper, lower, coarse, count) if large and cells else ([None] * count,) * 2
    )
    return [
        QualityFigures(
            mean=mean,
            std=math.sqrt(_mean_square(rows[i])),
            black_share=np.count_nonzero(black[i]) / rows[i].size,
            white_share=np.count_nonzero(white[i]) / rows[i].size,
            sharpness=max(detail[i] - NOISE_CORRECTION * noise[i], 0.0) / mean**2 if mean > 0 else 0.0,
            profile=profiles[i],
            cells=values[i],
            binned=_halve(_halve(greys[i])) if binned and large else None,
        )
        for i, mean in enumerate(means)
    ]


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
    upper, lower = (halve_columns(groups[:, :, i] + groups[:, :, i + 1], 0.25) for i in (0, 2))
    return upper, lower


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0][None] if len(parts) == 1 else np.stack(parts)


def _mean_square(values: np.ndarray) -> float:
    # einsum, not dot: BLAS cuts a sum by its thread count, and the figure must not depend on that.
    return float(np.einsum("ij,ij->", values, values)) / values.size


def _halve(grey: np.ndarray) -> np.ndarray:
    height = grey.shape[0] // 2 * 2
    return halve_columns(grey[0:height:2] + grey[1:height:2], 0.25)


def _laplacian_energies(above: np.ndarray, centre: np.ndarray, below: np.ndarray, count: int) -> list[float]:
    """Mean squared 5-point Laplacian in each image; rows, with those above and below, (n ..., rows, columns)."""
    laplacian = centre[:, :, 1:-1] * centre.dtype.type(4)
    laplacian -= centre[:, :, :-2]
    laplacian -= centre[:, :, 2:]
    laplacian -= above[:, :, 1:-1]
    laplacian -= below[:, :, 1:-1]
    return [_mean_square(own) for own in laplacian.reshape(count, -1, laplacian.shape[-1])]
