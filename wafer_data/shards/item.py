"""One stored image: the bytes of its file, and what is known about it."""

from dataclasses import dataclass, field
from typing import Any

from wafer_data.errors import DataError

IMAGE, SOURCE, MASK = "image", "source", "mask"
SIDES = ("train", "test", "any")


@dataclass(frozen=True)
class Item:
    """An image of a shard.

    Attributes:
        source: what the image is called, unique in the archive: a path, or shard and row.
        data: the bytes of an image file (PNG, JPEG, BMP, TIFF).
        mask: the bytes of its ground-truth mask's file, if it has one.
        about: what else is known: side, label, type, tool, layer, recipe, lot, wafer, site, time, ...
    """

    source: str
    data: bytes
    mask: bytes | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> int:
        """0 normal, 1 defective; 0 where nothing is said.

        Raises:
            InputError: For anything else.
        """
        label = self.about.get("label")
        if label is None:
            return 0
        if isinstance(label, bool) or label not in (0, 1):
            raise DataError(f"{self.source}: label must be 0 (normal) or 1 (defective), not {label!r}")
        return int(label)

    @property
    def side(self) -> str:
        """The side it belongs to: "train", "test" or "any"; "any" where nothing is said, "test" for a defect.

        Raises:
            InputError: Otherwise.
        """
        side = self.about.get("side") or ("test" if self.label else "any")
        if side not in SIDES:
            raise DataError(f"{self.source}: side must be one of {', '.join(SIDES)}, not {side!r}")
        if self.label and side != "test":
            raise DataError(
                f"{self.source}: a defect must be of side test, not {side}; data.labelled_defects_per_type moves some "
                "of them to the training"
            )
        return str(side)

    @property
    def type(self) -> str:
        """What it shows: "good" or the defect type."""
        return str(self.about.get("type") or "defect") if self.label else "good"
