"""KLARF 1.1 and 1.2: statements to wafers. Lengths are micrometres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from wafer_map.klarf.defects import check_columns
from wafer_map.klarf.model import ClassTable, KlarfFile, Spec, WaferResult
from wafer_map.klarf.rows_12 import read_rows
from wafer_map.klarf.statements import Statement, statements
from wafer_map.klarf.tokens import Text, Word, has_comma, has_point

VERSIONS = {(1, 1): "1.1", (1, 2): "1.2"}
_NUMERIC = {
    "diepitch", "dieorigin", "samplecenterlocation", "samplesize", "areapertest", "defectlist", "inspectiontest",
}  # fmt: skip
_NAMES = {
    "deviceid": "device", "stepid": "step", "slot": "slot",
    "sampleorientationmarktype": "mark", "orientationmarklocation": "mark_location",
}  # fmt: skip
_PAIRS = {"diepitch": "die_pitch", "dieorigin": "die_origin", "samplecenterlocation": "center"}


class Reader12:
    """Reads one file into `file`.

    Attributes:
        keep_incomplete: What a cut-off file holds is kept instead of refused.
    """

    def __init__(self, text: Text, file: KlarfFile, keep_incomplete: bool) -> None:
        self.text, self.file, self.keep = text, file, keep_incomplete
        self._fresh()

    def _fresh(self) -> None:
        """Before the first wafer: what the following statements say holds for every wafer of the file."""
        self.state = WaferResult()
        self.wafer: WaferResult | None = None
        self.images: str | None = None
        self.spec: int | None = None
        self.test = 1
        self.replan = self.retest = True
        self.listed = False

    def read(self) -> None:
        """Read all statements.

        Raises:
            InputError: With the line for what cannot be understood.
        """
        found = list(statements(self.text, self.file.notes))
        self._find_decimal_sign(found)
        for statement in found:
            if self.file.complete and statement.key != "fileversion":
                self.text.refuse(
                    statement.name.start, "content after EndOfFile; a next file begins with FileVersion"
                )
            if not statement.ended and not self.keep:
                self.text.refuse(
                    statement.last.start, f"the file ends inside {statement.name.text}: it was cut off"
                )
            handler = self._HANDLERS.get(statement.key)
            if handler is not None:
                handler(self, statement)
            elif statement.key in _NAMES and statement.ended:
                self._set(_NAMES[statement.key], self._count(statement, 1, more=True)[0].value)
            elif statement.key in _PAIRS and statement.ended:
                x, y = (self.text.length(w, statement.name.text) for w in self._count(statement, 2))
                self._set(_PAIRS[statement.key], (x, y))
            elif statement.ended:
                self.file.other[statement.name.text] = self.file.other.get(statement.name.text, 0) + 1

    def _find_decimal_sign(self, found: Sequence[Statement]) -> None:
        words = [w for s in found if s.key in _NUMERIC for w in s.values if not w.quoted]
        comma = next((word for word in words if has_comma(word)), None)
        if comma is None:
            return
        line = self.text.line(comma.start)
        if any(has_point(word) for word in words):
            self.text.refuse(
                comma.start,
                f"{comma.text} has a decimal comma, other numbers a point: its value is not certain",
            )
        self.text.decimal = self.file.decimal = ","
        self.file.notes.append(f"line {line}: decimals are written with commas")

    def _count(self, statement: Statement, count: int, *, more: bool = False) -> list[Word]:
        found = len(statement.values)
        if found < count or (found > count and not more):
            self.text.refuse(
                statement.name.start,
                f"{statement.name.text} holds {found} values instead of {count}; is a semicolon missing?",
            )
        return statement.values

    def _set(self, name: str, value: object) -> None:
        # Behind a wafer's list, what is said is said of the next one.
        if self.wafer is not None and not self.listed:
            setattr(self.wafer, name, value)
            if name == "slot":  # the next wafer lies in another
                return
        setattr(self.state, name, value)

    def _version(self, statement: Statement) -> None:
        numbers = tuple(self.text.integer(word, "FileVersion") for word in self._count(statement, 2))
        if numbers not in VERSIONS:
            shown = ".".join(map(str, numbers))
            self.text.refuse(statement.name.start, f"KLARF {shown} is not read; 1.1, 1.2 and 1.8 are")
        if self.file.complete:
            self.file.complete = False
            self._fresh()
        self.file.version = VERSIONS[numbers]

    def _timestamp(self, statement: Statement) -> None:
        self.file.timestamp = " ".join(word.value for word in statement.values)

    def _result_timestamp(self, statement: Statement) -> None:
        self._set("timestamp", " ".join(word.value for word in statement.values))

    def _lot(self, statement: Statement) -> None:
        if statement.ended:
            lot = self._count(statement, 1)[0].value
            if self.state.lot not in (
                None,
                lot,
            ):  # another lot: what follows, up to its wafer, is not the last one's
                self.wafer = None
            self._set("lot", lot)

    def _setup(self, statement: Statement) -> None:
        if statement.ended:
            self._set("setup", self._count(statement, 1, more=True)[0].value)

    def _station(self, statement: Statement) -> None:
        self._set("station", tuple(word.value for word in statement.values))

    def _size(self, statement: Statement) -> None:
        if statement.ended:
            words = self._count(statement, 2, more=True)
            self._set("diameter", 1000.0 * self.text.length(words[1], "SampleSize"))

    def _mirrored(self, statement: Statement) -> None:
        if statement.ended:
            self._set("mirrored", self._count(statement, 1)[0].value.upper() in ("YES", "TRUE", "1"))

    def _wafer(self, statement: Statement) -> None:
        if not statement.ended:
            return
        self.wafer = replace(self.state, wafer=self._count(statement, 1)[0].value, defects=[])
        self.file.wafers.append(self.wafer)
        self.file.layout.places.append([])
        self.replan = self.retest = True
        self.listed = False

    def _classes(self, statement: Statement) -> None:
        if not statement.ended:
            return
        words = self._count(statement, 1, more=True)
        count, pairs = self.text.integer(words[0], "the number of classes"), words[1:]
        self._table(statement, count, pairs)
        classes = {
            self.text.integer(number, "a class's number"): name.value
            for number, name in zip(pairs[::2], pairs[1::2], strict=True)
        }
        self._set("classes", classes)
        end = pairs[-1].end if pairs else words[0].end
        self.file.layout.tables.append(ClassTable((words[0].start, words[0].end), end, set(classes), count))

    def _table(self, statement: Statement, count: int, pairs: Sequence[Word]) -> None:
        if 2 * count != len(pairs):
            self.text.refuse(
                statement.name.start,
                f"{statement.name.text} says {count} rows of 2 values, {len(pairs)} values follow; is a semicolon "
                "missing?",
            )

    def _inspection_test(self, statement: Statement) -> None:
        if statement.ended:
            if self.retest:  # this wafer's own tests replace those of the wafer before
                self.retest = False
                self._set("tests", {})
            self.test = self.text.integer(self._count(statement, 1, more=True)[0], "InspectionTest")

    def _plan(self, statement: Statement) -> None:
        if not statement.ended:
            return
        words = self._count(statement, 1, more=True)
        pairs = words[1:]
        self._table(statement, self.text.integer(words[0], "the number of dies"), pairs)
        dies = [self.text.index(word, "a die's index") for word in pairs]
        known = () if self.replan else (self.wafer or self.state).plan
        self.replan = False
        self._set("plan", tuple(dict.fromkeys([*known, *zip(dies[::2], dies[1::2], strict=True)])))

    def _area(self, statement: Statement) -> None:
        if statement.ended:
            area = self.text.number(self._count(statement, 1)[0], "AreaPerTest")
            self._set("tests", {**(self.wafer or self.state).tests, self.test: area})

    def _columns(self, statement: Statement) -> None:
        if not statement.ended:
            return
        words = self._count(statement, 1, more=True)
        count, names = self.text.integer(words[0], "the number of columns"), words[1:]
        if count != len(names):
            self.text.refuse(
                statement.name.start, f"DefectRecordSpec says {count} columns and names {len(names)}"
            )
        check_columns(self.text, names)
        columns = tuple(word.value for word in names)
        spans = tuple((word.start, word.end) for word in names)
        self.spec = len(self.file.layout.specs)
        self.file.layout.specs.append(Spec(columns, spans, (words[0].start, words[0].end)))
        self._set("columns", columns)

    def _defects(self, statement: Statement) -> None:
        self.listed = True
        if self.wafer is not None:
            self.wafer.listed = True
        if not statement.values:
            return
        if self.wafer is None:
            self.text.refuse(statement.name.start, "DefectList before any WaferID: whose defects are these?")
        if self.spec is None:
            self.text.refuse(
                statement.name.start, "DefectList before any DefectRecordSpec: its columns are unknown"
            )
        columns = self.file.layout.specs[self.spec].columns
        rows = read_rows(
            self.text, statement.values, columns, self.spec, self.images, cut_off=not statement.ended
        )
        self.wafer.columns = columns
        self.wafer.defects += rows.defects
        self.file.layout.places[-1] += rows.places

    def _image_file(self, statement: Statement) -> None:
        if statement.ended:
            self.images = " ".join(word.value for word in statement.values) or None

    def _end(self, statement: Statement) -> None:
        self._count(statement, 0)
        self.file.complete = True

    _HANDLERS: ClassVar[dict[str, Callable[[Reader12, Statement], None]]] = {
        "fileversion": _version,
        "filetimestamp": _timestamp,
        "resulttimestamp": _result_timestamp,
        "lotid": _lot,
        "setupid": _setup,
        "inspectionstationid": _station,
        "samplesize": _size,
        "coordinatesmirrored": _mirrored,
        "waferid": _wafer,
        "classlookup": _classes,
        "inspectiontest": _inspection_test,
        "sampletestplan": _plan,
        "areapertest": _area,
        "defectrecordspec": _columns,
        "defectlist": _defects,
        "tifffilename": _image_file,
        "endoffile": _end,
    }
