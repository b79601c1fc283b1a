"""Pixels that show the same in every normal image: background, off-wafer, a saturated border.

They tell normal wafers from nothing. What they hold is checked against their constant - a difference is a reason
for REVIEW, so nothing there is lost - and then replaced by it, so no network sees it. Of colour, pixels count as such
only where all three channels are constant: where the luminance alone is, a hue may be all that there is to see. numpy
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from router.gate_figures import BIN
from wafer_data.errors import InputError
from wafer_data.imaging.planes import COLOURS

MOST_RANGE = 1.5 / 255
"""A pixel is uninformative when all normal images lie within one 8-bit level there."""
TOLERANCE = 1.5 / 255
"""A bin of 4 x 4 pixels is off its constant when its mean differs by more; a single pixel by 24 levels."""
MIN_IMAGES = 50


@dataclass(frozen=True, eq=False)
class PixelMask:
    """masked: bool (h, w) over bins of 4 x 4 pixels.

    Attributes:
        constant: float32 (h, w), the grey of the masked bins; of colour images (3, h, w).
    """

    masked: np.ndarray
    constant: np.ndarray

    @property
    def informative_share(self) -> float:
        """Share of the image that tells something, in [0, 1]."""
        return 1.0 - float(self.masked.mean())

    @property
    def crop(self) -> tuple[int, int, int, int]:
        """Smallest box that holds all informative pixels: top, left, bottom, right; ends excluded, in pixels."""
        rows, columns = (np.flatnonzero(~self.masked.all(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return 0, 0, 0, 0
        return tuple(BIN * int(v) for v in (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))  # type: ignore[return-value]

    def reasons(self, binned: np.ndarray) -> list[str]:
        """Whether an image, averaged over 4 x 4 pixels, shows anything where nothing has ever been."""
        if binned.shape != self.constant.shape:
            if binned.ndim != self.constant.ndim:
                return ["the pixel mask is for images of another kind, grey or colour"]
            return [
                f"the pixel mask is for another size of image ({self.masked.shape[0] * BIN} pixels a side)"
            ]
        off = np.abs(binned - self.constant) > TOLERANCE
        if off.ndim == 3:
            off = off.any(axis=0)
        count = int(np.count_nonzero(off & self.masked))
        if not count:
            return []
        row, column = (BIN * int(v[0]) for v in np.nonzero(off & self.masked))
        return [
            f"something where every normal image is constant: {count * BIN * BIN} pixels differ, the first at row "
            f"{row}, column {column}"
        ]

    def cleaned(self, image: np.ndarray) -> np.ndarray:
        """A copy of `image`, float32 (BIN h, BIN w) or (3, BIN h, BIN w), with the masked pixels at their constant."""
        blocks = image.reshape(*image.shape[:-2], self.masked.shape[0], BIN, self.masked.shape[1], BIN)
        kept = np.where(self.masked[:, None, :, None], self.constant[..., :, None, :, None], blocks)
        return np.ascontiguousarray(kept.reshape(image.shape), dtype=np.float32)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_dict() == self.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by :meth:`from_dict`: the masked bins as hexadecimal rows, and their greys.

        Of colour these are a list a channel.
        """
        return {
            "bins": list(self.masked.shape),
            "rows": [np.packbits(row).tobytes().hex() for row in self.masked],
            "greys": np.round(self.constant[..., self.masked].astype(float), 6).tolist(),
            "informative_share": round(self.informative_share, 6),
            "crop": list(self.crop),
        }

    @classmethod
    def from_dict(cls, data: Any) -> PixelMask:
        """Reads and checks what :meth:`to_dict` wrote.

        Raises:
            InputError: Where it is malformed.
        """
        try:
            height, width = (int(v) for v in data["bins"])
            if not (0 < height <= 4096 and 0 < width <= 4096) or len(data["rows"]) != height:
                raise ValueError("its size")
            rows = [np.frombuffer(bytes.fromhex(row), np.uint8) for row in data["rows"]]
            masked = np.stack([np.unpackbits(row)[:width] for row in rows]).astype(bool)
            greys = np.array(data["greys"], dtype=np.float32)
            if greys.ndim == 2 and len(greys) != COLOURS:
                raise ValueError("its channels")
            constant = np.zeros((*greys.shape[:-1], height, width), np.float32)
            constant[..., masked] = greys
            if masked.shape != (height, width) or not ((constant >= 0) & (constant <= 1)).all():
                raise ValueError("its greys")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"quality gate: its pixel mask is damaged ({error})") from error
        return cls(masked, constant)


class MaskFit:
    """Collects the range of every pixel over normal images, one by one; memory does not grow with their number."""

    def __init__(self) -> None:
        self._low: np.ndarray | None = None
        self._high: np.ndarray | None = None
        self._count = 0

    def add(self, image: np.ndarray) -> None:
        """One normal image, float32 (H, W) or (3, H, W); all of the same size."""
        if self._low is None or self._high is None:
            self._low, self._high = image.copy(), image.copy()
        else:
            np.minimum(self._low, image, out=self._low)
            np.maximum(self._high, image, out=self._high)
        self._count += 1

    def mask(self) -> PixelMask | None:
        """The mask; None where every bin tells something, or with fewer than 50 images."""
        if self._low is None or self._high is None or self._count < MIN_IMAGES:
            return None
        *planes, rows, columns = self._low.shape
        height, width = rows // BIN, columns // BIN
        if (height * BIN, width * BIN) != (rows, columns):
            return None
        low, high = (a.reshape(*planes, height, BIN, width, BIN) for a in (self._low, self._high))
        lowest, highest = low.min(axis=(-3, -1)), high.max(axis=(-3, -1))
        masked = highest - lowest <= MOST_RANGE
        if masked.ndim == 3:
            masked = masked.all(axis=0)
        if not masked.any():
            return None
        return PixelMask(masked, np.round(np.where(masked, (lowest + highest) / 2, 0), 6).astype(np.float32))
