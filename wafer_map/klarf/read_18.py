"""KLARF 1.8: the tree of records to wafers. Lengths are whole nanometres in the file, micrometres here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wafer_map.klarf.defects import Row, check_columns
from wafer_map.klarf.model import ClassTable, ImageEntry, KlarfFile, Place, Spec, WaferResult
from wafer_map.klarf.tokens import Text, Word
from wafer_map.klarf.tree_18 import Cell, Record, Table, TreeReader

_UNITS_PER_UM = 1000.0
_IMAGE_NUMBER = re.compile(r"-?[0-9]{1,9}\Z")
_LOT_NAMES = {
    "DeviceID": "device", "RecipeID": "setup", "SetupID": "setup", "StepID": "step",
    "SampleOrientationMarkType": "mark", "OrientationMarkLocation": "mark_location", "SlotNumber": "slot",
}  # fmt: skip
_PAIRS = {"DiePitch": "die_pitch", "DieOrigin": "die_origin", "SampleCenterLocation": "center"}


class Reader18:
    """Reads one file into `file`."""

    def __init__(self, text: Text, file: KlarfFile) -> None:
        self.text, self.file = text, file

    def read(self) -> None:
        """Read the whole tree.

        Raises:
            InputError: With the line for what cannot be understood.
        """
        root, self.file.complete = TreeReader(self.text, self.file.notes).read()
        if root.name.text != "FileRecord":
            self.text.refuse(root.name.start, f"FileRecord is expected, not {root.name.text[:40]!r}")
        version = root.identity.value if root.identity is not None else None
        if version != "1.8":
            self.text.refuse(root.name.start, f"KLARF {version} is not read; 1.1, 1.2 and 1.8 are")
        self.file.version = "1.8"
        if "FileTimestamp" in root.fields:
            self.file.timestamp = " ".join(word.value for word in root.fields["FileTimestamp"])
        for lot in root.records:
            if lot.name.text == "LotRecord":
                self._lot(lot)
            else:
                self._keep(lot.name)

    def _lot(self, lot: Record) -> None:
        common = WaferResult(lot=_identity(lot))
        self._fields(lot, common)
        classes = self._classes(lot.tables.get("ClassLookupList"))
        for record in lot.records:
            if record.name.text != "WaferRecord":
                self._keep(record.name)
                continue
            wafer = WaferResult(**vars(common) | {"defects": [], "classes": classes})
            wafer.wafer = _identity(record)
            self._fields(record, wafer)
            self.file.wafers.append(wafer)
            self.file.layout.places.append([])
            tests: dict[int, float] = {}
            plan: list[tuple[int, int]] = []
            for inner in record.records:
                if inner.name.text == "TestRecord":
                    self._test(inner, tests, plan)
                else:
                    self._keep(inner.name)
            wafer.tests, wafer.plan = tests, tuple(dict.fromkeys(plan))
            for name, table in record.tables.items():
                if name == "DefectList":
                    wafer.listed = True
                    self._defects(wafer, table)
                else:
                    self._keep(table.name)

    def _keep(self, name: Word) -> None:
        self.file.other[name.text] = self.file.other.get(name.text, 0) + 1

    def _fields(self, record: Record, wafer: WaferResult) -> None:
        for name, values in record.fields.items():
            if name in _PAIRS:
                x, y = (self.text.length(w, name, _UNITS_PER_UM) for w in self._values(name, values, 2))
                setattr(wafer, _PAIRS[name], (x, y))
            elif name in _LOT_NAMES and values:
                setattr(wafer, _LOT_NAMES[name], values[0].value)
            elif name == "InspectionStationID":
                wafer.station = tuple(word.value for word in values)
            elif name == "ResultTimestamp":
                wafer.timestamp = " ".join(word.value for word in values)
            elif name == "SampleSize" and values:
                wafer.diameter = self.text.length(values[0], name, _UNITS_PER_UM)
            elif name == "CoordinatesMirrored" and values:
                wafer.mirrored = values[0].value.upper() in ("YES", "TRUE", "1")
            elif name not in ("WaferScribe", "SampleType", "OrientationInstructions"):
                self.file.other[name] = self.file.other.get(name, 0) + 1

    def _values(self, name: str, values: Sequence[Word], count: int) -> Sequence[Word]:
        if len(values) != count:
            place = values[0].start if values else 0
            self.text.refuse(place, f"Field {name} holds {len(values)} values instead of {count}")
        return values

    def _test(self, record: Record, tests: dict[int, float], plan: list[tuple[int, int]]) -> None:
        if record.identity is not None and "AreaPerTest" in record.fields:
            area = self._values("AreaPerTest", record.fields["AreaPerTest"], 1)[0]
            number = self.text.integer(_unquoted(record.identity), "a test's number")
            tests[number] = self.text.number(area, "AreaPerTest") / _UNITS_PER_UM**2
        table = record.tables.get("SampleTestPlanList")
        if table is not None:
            x, y = self._column(table, "XINDEX"), self._column(table, "YINDEX")
            for row in table.rows:
                die = [self.text.index(row[i][0], "a die's index") for i in (x, y)]
                plan.append((die[0], die[1]))

    def _column(self, table: Table, name: str) -> int:
        names = [column.text.upper() for _, column in table.columns]
        if name not in names:
            self.text.refuse(table.name.start, f"{table.name.text} has no column {name}")
        return names.index(name)

    def _classes(self, table: Table | None) -> dict[int, str]:
        if table is None:
            return {}
        number, name = self._column(table, "CLASSNUMBER"), self._column(table, "CLASSNAME")
        classes = {
            self.text.integer(row[number][0], "a class's number"): row[name][0].value for row in table.rows
        }
        place = (table.row_count.start, table.row_count.end)
        columns = [column.text.upper() for _, column in table.columns]
        if columns[:2] == ["CLASSNUMBER", "CLASSNAME"]:  # the only order that a new row can be written in
            self.file.layout.tables.append(
                ClassTable(place, table.end, set(classes), len(table.rows), len(columns))
            )
        return classes

    def _defects(self, wafer: WaferResult, table: Table) -> None:
        names = [name for _, name in table.columns]
        check_columns(self.text, names)
        columns = tuple(name.text for name in names)
        lists = [kind.text.lower() == "imagelist" for kind, _ in table.columns]
        layout = self.file.layout
        spec = len(layout.specs)
        spans = tuple((kind.start, name.end) for kind, name in table.columns)
        layout.specs.append(Spec(columns, spans, (table.count.start, table.count.end)))
        wafer.columns = columns
        row_reader = Row(self.text, columns, _UNITS_PER_UM)
        for row in table.rows:
            cells: list[Word | None] = []
            images: list[ImageEntry] = []
            for cell, is_list in zip(row, lists, strict=True):
                cells.append(None if is_list or len(cell) > 1 else cell[0])
                if is_list:
                    images += self._images(cell)
            wafer.defects.append(row_reader.defect(cells, tuple(images)))
            layout.places[-1].append(Place(tuple((c[0].start, c[-1].end) for c in row), spec))

    def _images(self, cell: Cell) -> list[ImageEntry]:
        """The images of `Images n { "path" "format" number "name", ... }`; N and NA mean none.

        The number is the image's place in its file (a page of a TIFF of several, counted from 1). Lists that leave it
        out are read as well: every other word is part of the kind.
        """
        if len(cell) == 1:
            if cell[0].text.upper() not in ("N", "NA"):
                self.text.refuse(
                    cell[0].start, f"a list of images, or N, is expected, not {cell[0].text[:40]!r}"
                )
            return []
        groups: list[list[Word]] = [[]]
        for word in cell[3:-1]:
            if word.text == ",":
                groups.append([])
            else:
                groups[-1].append(word)
        groups = [group for group in groups if group]
        if len(groups) != self.text.integer(cell[1], "the number of images"):
            self.text.refuse(cell[0].start, f"Images says {cell[1].text} and names {len(groups)}")
        return [_entry(group) for group in groups]


def _entry(words: Sequence[Word]) -> ImageEntry:
    """One image: its path, and among the other words the first whole number that is no string."""
    path, *rest = words
    number = next((word for word in rest if _IMAGE_NUMBER.match(word.text)), None)
    kind = " ".join(word.value for word in rest if word is not number and word.value)
    return ImageEntry(path.value or None, None if number is None else int(number.text), kind)


def _identity(record: Record) -> str | None:
    return None if record.identity is None else record.identity.value


def _unquoted(word: Word) -> Word:
    return Word(word.value, word.start + 1) if word.quoted else word
