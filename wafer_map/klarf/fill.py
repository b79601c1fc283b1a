"""Fill classes, bins and scores into a KLARF file that was read, and change nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wafer_data.errors import ConfigurationError, InputError
from wafer_map.klarf.defects import AREA, ID, INTEGERS, LENGTHS
from wafer_map.klarf.model import Defect, KlarfFile
from wafer_map.klarf.read import parse_klarf

_COLUMNS = {
    "CLASSNUMBER": "class_number",
    "ROUGHBINNUMBER": "rough_bin",
    "FINEBINNUMBER": "fine_bin",
    "REVIEWSAMPLE": "review",
}
SCORE_COLUMN = "ANOMALYSCORE"
NO_SCORE = "-1"  # 1.2 has no word for "none"; scores are never negative
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_IMAGES = "IMAGE"  # how the columns of a defect's images begin
_Edit = tuple[int, int, str]


@dataclass(frozen=True)
class DefectResult:
    """What was found out about one defect of a list; None leaves the cell as it is.

    Attributes:
        class_number, rough_bin, fine_bin, review: whole numbers for the columns of these names.
        score: >= 0; goes into the score column.
        images: how many images were seen; goes into IMAGECOUNT where the list has no image list to contradict it.
    """

    class_number: int | None = None
    rough_bin: int | None = None
    fine_bin: int | None = None
    review: int | None = None
    score: float | None = None
    images: int | None = None


def fill(
    file: KlarfFile,
    results: Mapping[tuple[int, int], DefectResult],
    *,
    class_names: Mapping[int, str] | None = None,
    score_column: str | None = SCORE_COLUMN,
) -> bytes:
    """The file's bytes with results filled in; every other byte stays as and where it was.

    Args:
        file: as it was read.
        results: by (place of the wafer in `file.wafers`, place of the defect in its `defects`).
        class_names: names of class numbers; those that the file's table lacks are added to it.
        score_column: the column that scores go into. Where a list lacks it, it is added before the image
            columns; None writes no scores.

    Returns:
        The new file.

    Raises:
        ConfigurationError: scores cannot go into that column.
        InputError: a result belongs to no defect, or the new file would not read back with the same defects.
    """
    check_score_column(score_column)
    for wafer, defect in results:
        if not (0 <= wafer < len(file.wafers) and 0 <= defect < len(file.wafers[wafer].defects)):
            raise InputError(f"{file.source}: there is no defect {defect} on wafer {wafer} to fill in")
    edits = _cell_edits(file, results, score_column)
    edits += _class_edits(file, results, class_names or {})
    data = _apply(file.text, edits).encode(file.encoding)
    _check(file, parse_klarf(data, source=file.source, keep_incomplete=True), results, score_column)
    return data


def check_score_column(column: str | None) -> None:
    """Refuse a column for scores that says something else already, or that no file can have.

    Raises:
        ConfigurationError: names the column.
    """
    if column is None:
        return
    key = column.upper()
    if key in {ID, AREA, *LENGTHS, *INTEGERS} or key.startswith(_IMAGES):
        raise ConfigurationError(
            f"the column {column} of a defect list is no place for scores: they would overwrite what it says; "
            f"choose another name ({SCORE_COLUMN})"
        )
    if not _COLUMN_NAME.match(column):
        raise ConfigurationError(
            f"{column!r} is no column's name: use letters, digits and _ ({SCORE_COLUMN})"
        )


def unwritten_columns(file: KlarfFile, results: Mapping[tuple[int, int], DefectResult]) -> tuple[str, ...]:
    """Columns for which there are results, but which no defect list of the file, or not every one, has."""
    lists = [{name.upper() for name in spec.columns} for spec in file.layout.specs]
    return tuple(
        column
        for column, name in _COLUMNS.items()
        if any(getattr(result, name) is not None for result in results.values())
        and not all(column in columns for columns in lists)
    )


def class_name_notes(file: KlarfFile, names: Mapping[int, str]) -> list[str]:
    """What a reader of the filled-in file must know of class names that are not there as they were given."""
    notes = []
    for number, name in sorted(names.items()):
        known = {table for wafer in file.wafers if (table := wafer.classes.get(number)) is not None}
        for other in sorted(known - {name}):
            notes.append(f"class {number} is {other!r} in the list and stays so; the rules call it {name!r}")
        if not known and _written(name, file.encoding) != name:
            notes.append(f"class {number}, {name!r}, is written as {_written(name, file.encoding)!r}")
    return notes


def _cell_edits(
    file: KlarfFile, results: Mapping[tuple[int, int], DefectResult], score_column: str | None
) -> list[_Edit]:
    edits: list[_Edit] = []
    scored = score_column is not None and any(result.score is not None for result in results.values())
    places: dict[int, tuple[dict[str, int], int | None]] = {}
    for number, spec in enumerate(file.layout.specs):
        keys = {name.upper(): i for i, name in enumerate(spec.columns)}
        before = None
        if scored and str(score_column).upper() not in keys:
            before = min((keys[k] for k in keys if k.startswith(_IMAGES)), default=len(spec.columns))
            edits.append((*spec.count, str(len(spec.columns) + 1)))
            edits.append(_new_column(file, spec.names, before, str(score_column)))
        places[number] = (keys, before)
    for w, wafer_places in enumerate(file.layout.places):
        for d, place in enumerate(wafer_places):
            keys, before = places[place.spec]
            result = results.get((w, d), DefectResult())
            for column, name in _COLUMNS.items():
                value = getattr(result, name)
                if value is not None and column in keys:
                    edits.append((*place.cells[keys[column]], str(int(value))))
            if result.images is not None and "IMAGECOUNT" in keys and "IMAGELIST" not in keys:
                edits.append((*place.cells[keys["IMAGECOUNT"]], str(int(result.images))))
            if not scored:
                continue
            score = _score_text(file, result.score)
            if before is None:
                if result.score is not None:
                    edits.append((*place.cells[keys[str(score_column).upper()]], score))
            elif before < len(place.cells) and place.cells[before][1]:
                start = place.cells[before][0]
                edits.append((start, start, f"{score} "))
            else:
                end = place.cells[before - 1][1]
                edits.append((end, end, f" {score}"))
    return edits


def _new_column(file: KlarfFile, names: Sequence[tuple[int, int]], before: int, column: str) -> _Edit:
    text = f"float {column}" if file.version == "1.8" else column
    if before < len(names):
        start = names[before][0]
        return start, start, f"{text}, " if file.version == "1.8" else f"{text} "
    end = names[-1][1]
    return end, end, f", {text}" if file.version == "1.8" else f" {text}"


def _score_text(file: KlarfFile, score: float | None) -> str:
    if score is None:
        return NO_SCORE
    return f"{max(score, 0.0):.6g}".replace(".", file.decimal)


def _class_edits(
    file: KlarfFile, results: Mapping[tuple[int, int], DefectResult], names: Mapping[int, str]
) -> list[_Edit]:
    used = {result.class_number for result in results.values() if result.class_number is not None}
    edits: list[_Edit] = []
    line_end = "\r\n" if "\r\n" in file.text else "\n"
    for table in file.layout.tables:
        new = sorted(number for number in used & set(names) if number not in table.numbers)
        if not new:
            continue
        edits.append((*table.count, str(table.rows + len(new))))
        rows = [f'{number} "{_written(names[number], file.encoding)}"' for number in new]
        if file.version == "1.8":
            more = ' ""' * (table.columns - 2)
            edits.append((table.end, table.end, "".join(f"{row}{more};{line_end}" for row in rows)))
        else:
            edits.append((table.end, table.end, "".join(f"{line_end} {row}" for row in rows)))
    return edits


def _written(name: str, encoding: str) -> str:
    """A name that cannot end its own string, in letters that the file's encoding has."""
    plain = "".join(char if char.isprintable() and char != '"' else "_" for char in name)
    return plain.encode(encoding, "replace").decode(encoding)


def _apply(text: str, edits: list[_Edit]) -> str:
    parts: list[str] = []
    done = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [text[done:start], new]
        done = end
    return "".join([*parts, text[done:]])


def _check(
    before: KlarfFile,
    after: KlarfFile,
    results: Mapping[tuple[int, int], DefectResult],
    score_column: str | None,
) -> None:
    """Defects in = defects out, and nothing but what was filled in differs."""
    same = [len(w.defects) for w in before.wafers] == [len(w.defects) for w in after.wafers]
    pairs = (
        ((w, d), old, new)
        for w, (one, two) in enumerate(zip(before.wafers, after.wafers, strict=False))
        for d, (old, new) in enumerate(zip(one.defects, two.defects, strict=False))
    )
    if not same or any(not _agree(old, new, results.get(key), score_column) for key, old, new in pairs):
        raise InputError(
            f"{before.source}: the filled-in file does not read back as it was; nothing is written"
        )


def _agree(old: Defect, new: Defect, result: DefectResult | None, score_column: str | None) -> bool:
    if old.id != new.id or old.images != new.images:
        return False
    result = result or DefectResult()
    for column, text in old.values.items():
        key = column.upper()
        if column not in new.values:
            return False
        if key == (score_column or "").upper() or (key == "IMAGECOUNT" and result.images is not None):
            continue
        wanted = getattr(result, _COLUMNS[key]) if key in _COLUMNS else None
        if new.values[column] != (text if wanted is None else str(int(wanted))):
            return False
    return True
