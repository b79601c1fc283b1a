"""From the cells of a row to a `Defect`: which column is what, and in which unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wafer_map.klarf.model import Defect, ImageEntry
from wafer_map.klarf.tokens import Text, Word

PLACES = {"XREL": "x_rel", "YREL": "y_rel"}
SIZES = {"XSIZE": "x_size", "YSIZE": "y_size", "DSIZE": "d_size"}
LENGTHS = PLACES | SIZES
INDICES = {"XINDEX": "x_index", "YINDEX": "y_index"}
INTEGERS = {
    **INDICES, "CLASSNUMBER": "class_number", "ROUGHBINNUMBER": "rough_bin",
    "FINEBINNUMBER": "fine_bin", "REVIEWSAMPLE": "review", "TEST": "test",
}  # fmt: skip
AREA, ID = "DEFECTAREA", "DEFECTID"
_MISSING = {"NA", "N/A", "NAN", "N"}


class Row:
    """Turns rows of one column specification into defects.

    Attributes:
        units_per_um: units of length that a micrometre has.
    """

    def __init__(self, text: Text, columns: Sequence[str], units_per_um: float) -> None:
        self.text, self.units_per_um = text, units_per_um
        self.keys = [column.upper() for column in columns]
        self.columns = tuple(columns)

    def defect(self, cells: Sequence[Word | None], images: tuple[ImageEntry, ...]) -> Defect:
        """The defect of a row.

        Args:
            cells: One word a column; None for image lists.

        Raises:
            InputError: For bad numbers.
        """
        found: dict[str, Any] = {}
        for key, word in zip(self.keys, cells, strict=True):
            if word is None or (word.text.upper() in _MISSING and key != ID):
                continue
            if key in PLACES:
                found[PLACES[key]] = self.text.length(word, key, self.units_per_um)
            elif key in SIZES:  # tools write numbers beyond all wafers for a size that they do not know
                found[SIZES[key]] = self.text.number(word, key) / self.units_per_um
            elif key in INDICES:
                found[INDICES[key]] = self.text.index(word, key)
            elif key in INTEGERS:
                found[INTEGERS[key]] = self.text.integer(word, key)
            elif key == AREA:
                found["area"] = self.text.number(word, key) / self.units_per_um**2
            elif key == ID:
                found["id"] = self.text.integer(word, key)
        values = {
            column: word.text for column, word in zip(self.columns, cells, strict=True) if word is not None
        }
        return Defect(images=images, values=values, **found)


def check_columns(text: Text, names: Sequence[Word]) -> None:
    """Refuse a specification without DEFECTID, or with a name twice."""
    keys = [word.text.upper() for word in names]
    if ID not in keys:
        place = names[0].start if names else 0
        text.refuse(place, f"the defect list has no column {ID}: its rows cannot be told from each other")
    for word, key in zip(names, keys, strict=True):
        if keys.count(key) > 1:
            text.refuse(word.start, f"the column {key} stands in the defect list twice")
