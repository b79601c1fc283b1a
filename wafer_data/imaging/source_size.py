"""The size that a recipe's images have: another one is another camera, a crop or a thumbnail, and not comparable.

Every image is resized to the models' square input, so a thumbnail or half an image would be scored without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from wafer_data.errors import InputError

TOLERANCE = 1.5
"""Where training images differ in size, others may lie this factor beyond the smallest and largest."""


@dataclass(frozen=True)
class SourceSize:
    """Smallest and largest height, width (pixels) and aspect ratio (width / height) of the images learned from."""

    height: tuple[int, int]
    width: tuple[int, int]
    aspect: tuple[float, float]

    @classmethod
    def of(cls, shapes: Iterable[tuple[int, int]], expected: Sequence[int] | None = None) -> Self:
        """From (height, width) of each training image, or from the one size that all must have."""
        shapes = [(expected[0], expected[1])] if expected is not None else list(shapes)
        heights, widths = [shape[0] for shape in shapes], [shape[1] for shape in shapes]
        aspects = [width / height for height, width in shapes]
        return cls(
            (min(heights), max(heights)),
            (min(widths), max(widths)),
            (round(min(aspects), 6), round(max(aspects), 6)),
        )

    def problem(self, height: int, width: int) -> str | None:
        """Why an image of this size is not comparable; None if it is.

        Exactly the one size, where all training images had one; else within `TOLERANCE` of their range.
        """
        (low, high), (narrow, wide) = self.height, self.width
        if (low, narrow) == (high, wide):
            if (height, width) == (low, narrow):
                return None
            return f"{height} x {width} pixels (height x width), trained on {low} x {narrow}"
        sides = _within(height, low, high) and _within(width, narrow, wide)
        if sides and _within(width / height, *self.aspect):
            return None
        return (
            f"{height} x {width} pixels (height x width), trained on {low} to {high} x {narrow} to {wide} with aspect "
            f"ratios {self.aspect[0]:.2f} to {self.aspect[1]:.2f}"
        )

    def to_dict(self) -> dict[str, list[float]]:
        """JSON-ready form, read back by :meth:`from_dict`."""
        return {name: list(getattr(self, name)) for name in ("height", "width", "aspect")}

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Reads and checks what :meth:`to_dict` wrote.

        Raises:
            InputError: Where it is malformed.
        """
        try:
            pairs = {name: tuple(content[name]) for name in ("height", "width", "aspect")}
            whole = set(content) == set(pairs) and all(0 < low <= high for low, high in pairs.values())
        except (TypeError, KeyError, ValueError):
            whole = False
        if not whole:
            raise InputError(
                f"size of the training images: expected ranges of height, width and aspect, got {content!r}"
            )
        return cls(**pairs)


def _within(value: float, low: float, high: float) -> bool:
    return low / TOLERANCE <= value <= high * TOLERANCE
