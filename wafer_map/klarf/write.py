"""New KLARF files, version 1.2 or 1.8, with the least that yield systems ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from wafer_data.errors import InputError
from wafer_map.klarf.defects import AREA, ID, INTEGERS, LENGTHS
from wafer_map.klarf.model import Defect, ImageEntry, WaferResult

_ORDER = (
    ID, "XREL", "YREL", "XINDEX", "YINDEX", "XSIZE", "YSIZE", AREA, "DSIZE", "CLASSNUMBER", "TEST", "ROUGHBINNUMBER",
    "FINEBINNUMBER", "REVIEWSAMPLE",
)  # fmt: skip
_FIELDS = {**LENGTHS, **INTEGERS, AREA: "area", ID: "id"}
_NANOMETRES = 1e3


def write_12(wafers: Sequence[WaferResult], timestamp: str) -> bytes:
    """A KLARF 1.2 file of these wafers; `parse_klarf` gives them back.

    Args:
        wafers: at least one; their lots, wafers, die pitches and centres must be known.
        timestamp: FileTimestamp, "MM-DD-YYYY HH:MM:SS".

    Returns:
        The file's bytes, UTF-8, with line feeds.

    Raises:
        InputError: a wafer lacks what every KLARF file states, a name cannot be written, a column is known for some
            defects of a wafer only, or a defect has images in several files (1.2 knows one).
    """
    lines = ["FileVersion 1 2;", f"FileTimestamp {_words(timestamp)};"]
    for wafer in _checked(wafers):
        lines += _head_12(wafer, timestamp)
        columns, extra = _columns(wafer)
        names = [*columns, *extra, "IMAGECOUNT", "IMAGELIST"]
        lines.append(f"DefectRecordSpec {len(names)} {' '.join(names)};")
        if not wafer.defects:
            lines.append("DefectList;")
        for file, group in groupby(wafer.defects, key=_file):
            # Said before every list: the last one's would count for this one too.
            lines.append(f"TiffFileName {_string(file)};" if file else "TiffFileName;")
            rows = [
                " ".join([*_cells(defect, columns, extra, _float), _images_12(defect)]) for defect in group
            ]
            lines.append("DefectList\n " + "\n ".join(rows) + ";")
        count = len(wafer.defects)
        dies = len({(defect.x_index, defect.y_index) for defect in wafer.defects})
        density = count / (sum(wafer.tests.values()) / 1e8) if sum(wafer.tests.values()) else 0.0
        lines.append("SummarySpec 5 TESTNO NDEFECT DEFDENSITY NDIE NDEFDIE;")
        lines.append(f"SummaryList\n {_test(wafer)} {count} {_float(density)} {len(wafer.plan)} {dies};")
    return ("\n".join([*lines, "EndOfFile;"]) + "\n").encode()


def write_18(wafers: Sequence[WaferResult], timestamp: str) -> bytes:
    """A KLARF 1.8 file of these wafers, lengths rounded to nanometres; otherwise as `write_12`."""
    lines = ['Record FileRecord "1.8"', "{", f"Field FileTimestamp {_field(timestamp.split())}"]
    for (lot, common), group in groupby(_checked(wafers), key=lambda wafer: _lot_18(wafer, timestamp)):
        lines += [f"Record LotRecord {lot}", "{", *common]
        for wafer in group:
            lines += _wafer_18(wafer, timestamp)
        lines.append("}")
    return ("\n".join([*lines, "}", "EndOfFile;"]) + "\n").encode()


def _head_12(wafer: WaferResult, timestamp: str) -> list[str]:
    classes = "".join(f"\n {number} {_string(name)}" for number, name in wafer.classes.items())
    plan = "".join(f"\n {x} {y}" for x, y in wafer.plan)
    station = (*wafer.station, "", "", "")[: max(3, len(wafer.station))]
    diameter = _float((wafer.diameter or 300_000.0) / 1000)
    lines = [
        f"InspectionStationID {' '.join(map(_string, station))};",
        "SampleType WAFER;",
        f"ResultTimestamp {_words(wafer.timestamp or timestamp)};",
        f"LotID {_string(wafer.lot)};",
        f"SampleSize 1 {diameter};",
        f"DeviceID {_string(wafer.device)};",
        f"SetupID {_string(wafer.setup)} {_words(timestamp)};",
        f"StepID {_string(wafer.step)};",
        f"SampleOrientationMarkType {_string(wafer.mark or 'NOTCH')};",
        f"OrientationMarkLocation {_string(wafer.mark_location or 'DOWN')};",
        f"DiePitch {_pair(wafer.die_pitch)};",
        f"DieOrigin {_pair(wafer.die_origin or (0.0, 0.0))};",
        f"WaferID {_string(wafer.wafer)};",
        f"Slot {_string(wafer.slot or '0')};",
        f"SampleCenterLocation {_pair(wafer.center)};",
        f"CoordinatesMirrored {'YES' if wafer.mirrored else 'NO'};",
        f"ClassLookup {len(wafer.classes)}{classes};",
        f"InspectionTest {_test(wafer)};",
        f"SampleTestPlan {len(wafer.plan)}{plan};",
    ]
    for number, area in wafer.tests.items():
        lines += [f"InspectionTest {number};", f"AreaPerTest {_float(area)};"]
    return lines


def _lot_18(wafer: WaferResult, timestamp: str) -> tuple[str, tuple[str, ...]]:
    """What the wafers of one LotRecord have in common: its identity, and its own lines."""
    texts: dict[str, Sequence[str]] = {
        "DeviceID": [wafer.device or ""],
        "InspectionStationID": (*wafer.station, "", "", "")[: max(3, len(wafer.station))],
        "RecipeID": [wafer.setup or "", *timestamp.split()],
        "StepID": [wafer.step or ""],
        "SampleType": ["WAFER"],
        "SampleOrientationMarkType": [wafer.mark or "NOTCH"],
        "OrientationMarkLocation": [wafer.mark_location or "DOWN"],
        "CoordinatesMirrored": ["YES" if wafer.mirrored else "NO"],
    }
    lines = [f"Field {name} {_field(values)}" for name, values in texts.items()]
    lines.append(f"Field DiePitch {_pair_18(wafer.die_pitch)}")
    lines.append(f"Field SampleSize 2 {{{_nanometres(wafer.diameter or 300_000.0)}, 0}}")
    rows = [f'{number} {_string(name)} ""' for number, name in wafer.classes.items()]
    columns = ["int32 CLASSNUMBER", "string CLASSNAME", "string CLASSCODE"]
    return _string(wafer.lot), (*lines, *_list_18("ClassLookupList", columns, rows))


def _wafer_18(wafer: WaferResult, timestamp: str) -> list[str]:
    columns, extra = _columns(wafer)
    types = [f"float {c}" if c == AREA else f"int32 {c}" for c in columns]
    types += [f"string {c}" for c in extra]
    rows = [
        " ".join([*_cells(defect, columns, extra, _nanometres), _images_18(defect)])
        for defect in wafer.defects
    ]
    lines = [
        f"Record WaferRecord {_string(wafer.wafer)}",
        "{",
        f"Field SlotNumber {_field([wafer.slot or '0'])}",
        f"Field ResultTimestamp {_field((wafer.timestamp or timestamp).split())}",
        f"Field DieOrigin {_pair_18(wafer.die_origin or (0.0, 0.0))}",
        f"Field SampleCenterLocation {_pair_18(wafer.center)}",
        *_list_18("DefectList", [*types, "ImageList IMAGEINFO"], rows),
    ]
    for i, number in enumerate(wafer.tests or (_test(wafer),)):
        lines += [f'Record TestRecord "{number}"', "{"]
        if number in wafer.tests:
            lines.append(f"Field AreaPerTest 1 {{{_square_nanometres(wafer.tests[number])}}}")
        if i == 0:
            plan = [f"{x} {y}" for x, y in wafer.plan]
            lines += _list_18("SampleTestPlanList", ["int32 XINDEX", "int32 YINDEX"], plan)
        lines.append("}")
    return [*lines, "}"]


def _list_18(name: str, columns: Sequence[str], rows: Sequence[str]) -> list[str]:
    body = [f"{row};" for row in rows]
    head = [
        f"List {name}",
        "{",
        f"Columns {len(columns)} {{ {', '.join(columns)} }}",
        f"Data {len(rows)}",
        "{",
    ]
    return [*head, *body, "}", "}"]


def _checked(wafers: Sequence[WaferResult]) -> Sequence[WaferResult]:
    if not wafers:
        raise InputError("a KLARF file needs at least one wafer")
    for wafer in wafers:
        for name in ("lot", "wafer", "die_pitch", "center"):
            if getattr(wafer, name) is None:
                raise InputError(
                    f"wafer {wafer.wafer}: its {name.replace('_', ' ')} is unknown; KLARF needs it"
                )
    return wafers


def _columns(wafer: WaferResult) -> tuple[list[str], list[str]]:
    """The known columns that the wafer's defects fill, and their further ones."""
    columns = []
    for column in _ORDER:
        known = {getattr(defect, _FIELDS[column]) is not None for defect in wafer.defects}
        if known == {True, False}:
            raise InputError(f"wafer {wafer.wafer}: {column} is known for some of its defects only")
        if known != {False}:
            columns.append(column)
    taken = {*_ORDER, "IMAGECOUNT", "IMAGELIST", "IMAGEINFO"}
    further = [tuple(key for key in defect.values if key.upper() not in taken) for defect in wafer.defects]
    if len(set(further)) > 1:
        raise InputError(f"wafer {wafer.wafer}: its defects have different columns")
    return columns, list(further[0]) if further else []


def _cells(
    defect: Defect, columns: Sequence[str], extra: Sequence[str], length: Callable[[float], str]
) -> list[str]:
    cells = []
    for column in columns:
        value = getattr(defect, _FIELDS[column])
        if column in LENGTHS:
            cells.append(length(value))
        elif column == AREA:
            cells.append(_float(value) if length is _float else _square_nanometres(value))
        else:
            cells.append(str(int(value)))
    for column in extra:
        text = defect.values[column]
        if not text or set(text) & set(' \t\r\n;{},"') or text.upper() == "IMAGES":
            raise InputError(f"defect {defect.id}: {column} {text!r} cannot be written into a list")
        cells.append(text)
    return cells


def _file(defect: Defect) -> str | None:
    files = {image.file for image in defect.images}
    if len(files) > 1:
        raise InputError(f"defect {defect.id}: KLARF 1.2 knows one image file a defect; write 1.8")
    return next(iter(files), None)


def _images_12(defect: Defect) -> str:
    pairs = "".join(f" {image.number or 0} {_kind(image)}" for image in defect.images)
    return f"{len(defect.images)} {len(defect.images)}{pairs}"


def _kind(image: ImageEntry) -> str:
    return image.kind if image.kind.isdecimal() else "0"


def _images_18(defect: Defect) -> str:
    if not defect.images:
        return "N"
    return f"Images {len(defect.images)} {{ {', '.join(map(_image_18, defect.images))} }}"


def _image_18(image: ImageEntry) -> str:
    if image.number is None:
        return f"{_string(image.file)} {_string(image.kind)}"
    file_format, _, name = image.kind.partition(" ")
    return f"{_string(image.file)} {_string(file_format)} {image.number} {_string(name)}"


def _string(text: str | None) -> str:
    text = text or ""
    if '"' in text or "\r" in text or "\n" in text:
        raise InputError(f"the name {text!r} holds a quote or a line break, which KLARF cannot write")
    return f'"{text}"'


def _words(text: str) -> str:
    parts = text.split()
    if not parts or any(set(part) & set(';"{}') for part in parts):
        raise InputError(f"the time {text!r} cannot be written; use MM-DD-YYYY HH:MM:SS")
    return " ".join(parts)


def _field(values: Sequence[str]) -> str:
    return f"{len(values)} {{{', '.join(map(_string, values))}}}"


def _pair(pair: tuple[float, float] | None) -> str:
    assert pair is not None  # `_checked`
    return f"{_float(pair[0])} {_float(pair[1])}"


def _pair_18(pair: tuple[float, float] | None) -> str:
    assert pair is not None  # `_checked`
    return f"2 {{{_nanometres(pair[0])}, {_nanometres(pair[1])}}}"


def _float(value: float) -> str:
    if not abs(value) < float("inf"):
        raise InputError(f"{value} is no length that can be written")
    return repr(float(value))


def _nanometres(value: float) -> str:
    if not abs(value) < float("inf"):
        raise InputError(f"{value} is no length that can be written")
    return str(round(value * _NANOMETRES))


def _square_nanometres(value: float) -> str:
    return _nanometres(value * _NANOMETRES)


def _test(wafer: WaferResult) -> int:
    return next(iter(wafer.tests), 1)
