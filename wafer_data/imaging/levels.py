"""Grey levels: which grey of the source images counts as black and which as white.

A 12-bit camera that writes 16-bit files uses a sixteenth of their range, and a dim layer looks alike: to a model made
for ordinary pictures both are black. The levels are two numbers a data set, found on its training normals and
recorded with the run; the tool applies the same two. Images of ordinary range are left exactly as they are, and no
image is stretched to its own range, so a dark image among bright ones stays dark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wafer_data.errors import InputError

ORDINARY_SPAN = 0.4
"""Training normals whose central 99.8 % of pixels span at least this share of the range are left alone."""
MARGIN = 0.5
"""Room on either side of those pixels, as a share of their span: defects are darker or brighter than any normal."""
TAIL = 0.001
_BINS = 65536


@dataclass(frozen=True)
class Levels:
    """Grey `black` becomes 0 and grey `white` becomes 1; both in [0, 1] of the file's range, black < white."""

    black: float = 0.0
    white: float = 1.0

    def __post_init__(self) -> None:
        numbers = all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in (self.black, self.white)
        )
        if not numbers or not 0 <= self.black < self.white <= 1:
            raise InputError(
                f"levels: black and white must be numbers with 0 <= black < white <= 1, got {self.black!r} and "
                f"{self.white!r}"
            )

    @property
    def unchanged(self) -> bool:
        """Whether applying them does nothing."""
        return self.black == 0.0 and self.white == 1.0

    def apply(self, grey: np.ndarray) -> np.ndarray:
        """Float32 grey in [0, 1], any shape -> the same shape in [0, 1]; values beyond the levels are clipped.

        The result is a multiple of 1/65535, so it can be stored in 16 bits and read back to the last bit.
        """
        if self.unchanged:
            return grey
        stretched = (grey - np.float32(self.black)) * np.float32(65535 / (self.white - self.black))
        return np.clip(np.rint(stretched), 0, 65535) / np.float32(65535)


def find_levels(images: Iterable[np.ndarray]) -> Levels:
    """Levels for training normals given as uint8 or uint16 arrays; memory does not depend on their number.

    The central 99.8 % of all pixels decide, so single hot or dead pixels do not.

    Raises:
        InputError: If there is no image or all pixels have one value.
    """
    histogram = np.zeros(_BINS, np.int64)
    for image in images:
        counts = image if image.dtype == np.uint16 else image.astype(np.uint16) * np.uint16(257)
        histogram += np.bincount(counts.ravel(), minlength=_BINS)
    total = int(histogram.sum())
    if not total:
        raise InputError("no training image to find the grey levels of")
    cumulative = np.cumsum(histogram)
    low, high = (int(np.searchsorted(cumulative, share * total)) for share in (TAIL, 1 - TAIL))
    span = (high - low) / (_BINS - 1)
    if span >= ORDINARY_SPAN:
        return Levels()
    if high <= low:
        raise InputError("the training images are constant: 99.8 % of all pixels have one grey value")
    return Levels(
        round(max(0.0, low / (_BINS - 1) - MARGIN * span), 6),
        round(min(1.0, high / (_BINS - 1) + MARGIN * span), 6),
    )
