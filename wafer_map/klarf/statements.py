"""KLARF 1.1 and 1.2 as a sequence of statements, `Name values ;`, with a forgotten semicolon found where one can be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from wafer_map.klarf.tokens import Text, Word

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# A file's end of some systems, and blocks that a broken disk left empty.
_PADDING = "\x1a\x00"
KNOWN = frozenset(
    [
        "FileVersion",
        "FileTimestamp",
        "TiffSpec",
        "TiffFileName",
        "TiffFilename",
        "InspectionStationID",
        "SampleType",
        "ResultTimestamp",
        "LotID",
        "SampleSize",
        "DeviceID",
        "SetupID",
        "StepID",
        "ResultsID",
        "OperatorId",
        "OperatorID",
        "SampleOrientationMarkType",
        "OrientationMarkLocation",
        "DiePitch",
        "DieOrigin",
        "WaferID",
        "WaferScribe",
        "Slot",
        "SampleCenterLocation",
        "ClassLookup",
        "OrientationInstructions",
        "CoordinatesMirrored",
        "InspectionOrientation",
        "InspectionTest",
        "SampleTestPlan",
        "SampleTestReferencePlan",
        "AreaPerTest",
        "DefectRecordSpec",
        "DefectList",
        "DefectClusterSpec",
        "DefectClusterSetup",
        "ClusterClassificationList",
        "SummarySpec",
        "SummaryList",
        "LotStatus",
        "WaferStatus",
        "RemovedDieList",
        "ProcessEquipmentIDList",
        "ClassificationSource",
        "Product",
        "EndOfFile",
    ]
)


class Statement(NamedTuple):
    """One statement: its name, its values, and whether it has an end (its own semicolon, or the next one's name)."""

    name: Word
    values: list[Word]
    ended: bool

    @property
    def key(self) -> str:
        """The name in lower case."""
        return self.name.text.lower()

    @property
    def last(self) -> Word:
        """Its last word."""
        return self.values[-1] if self.values else self.name


def statements(text: Text, notes: list[str]) -> Iterator[Statement]:
    """The statements of a file in order; what is odd but readable goes into `notes`.

    A known name at the start of a line inside a statement begins the next one: the semicolon before it was
    forgotten.

    Raises:
        InputError: With the line, for anything that is no statement.
    """
    name: Word | None = None
    values: list[Word] = []
    for word in text.words(braces=False):
        if not word.text.strip(_PADDING):
            continue
        if name is not None and word.text == ";":
            yield Statement(name, values, True)
            name, values = None, []
        elif name is not None and word.text in KNOWN and _begins_line(text, word):
            last = values[-1] if values else name
            notes.append(f"line {text.line(last.start)}: the semicolon after {name.text} is missing")
            yield Statement(name, values, True)
            name, values = word, []
        elif name is not None:
            values.append(word)
        elif word.text == ";":
            notes.append(f"line {text.line(word.start)}: a semicolon without a statement")
        elif word.quoted or not _NAME.match(word.text):
            shown = word.text[:40]
            text.refuse(
                word.start, f"a record's name is expected here, not {shown!r}; is a semicolon too many?"
            )
        else:
            name = word
    if name is not None:
        yield Statement(name, values, name.text.lower() == "endoffile" and not values)


def _begins_line(text: Text, word: Word) -> bool:
    before = text.text[max(0, word.start - 200) : word.start]
    return before.rstrip(" \t") == "" or before.rstrip(" \t")[-1] in "\r\n"
