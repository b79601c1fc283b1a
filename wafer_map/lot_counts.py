"""What is known of the wafers of one lot: from tables, or from KLARF files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wafer_data.csv_table import TableRow, read_table
from wafer_data.errors import ConfigurationError, DataError
from wafer_map.decide.verdict import WaferCounts
from wafer_map.klarf import WaferResult, read_klarf
from wafer_map.wafer import counted_defects, dies_of

NEEDED = ("wafer", "sites", "defects")
OPTIONAL = ("unjudged", "killers")


@dataclass(frozen=True)
class CountedWafer:
    """One wafer of a lot.

    Attributes:
        lot, name: as written; `lot` is None where it is not said.
        counts: judged sites, and those with a defect. where: the file, and the line of a table.
        notes: what was taken for granted, in words.
    """

    lot: str | None
    name: str
    counts: WaferCounts
    where: str
    notes: tuple[str, ...] = ()


def count_lot(paths: Sequence[Path], bins: Collection[int] | None = None) -> list[CountedWafer]:
    """The wafers of one lot in the order of the files.

    Args:
        paths: tables (.csv: wafer, sites, defects, and lot, unjudged and killers where known), or KLARF files, whose
            sites are dies.
        bins: of KLARF files, ROUGHBINNUMBERs that count.

    Returns:
        At least one wafer, each once.

    Raises:
        InputError: a file cannot be read. ConfigurationError: bins are asked of a table.
        DataError: a wafer stands there twice, the wafers are of several lots, or a file holds none.
    """
    found: list[CountedWafer] = []
    for path in paths:
        counted = list(_of_table(path, bins) if path.suffix.lower() == ".csv" else _of_klarf(path, bins))
        if not counted:
            raise DataError(f"{path} holds no wafer: nothing is known of the lot")
        found += counted
    _require_one_lot(found)
    return found


def counts_of(row: TableRow) -> WaferCounts:
    """The counts in a row of a table with the columns sites and defects.

    Raises:
        DataError: a count is none, or there are more defects than sites; names the line.
    """
    sites, defects = row.whole("sites"), row.whole("defects")
    # of what need not be known, an empty cell says nothing
    unjudged, killers = (row.whole(name) if row.cells.get(name, "").strip() else 0 for name in OPTIONAL)
    try:
        return WaferCounts(sites, defects, unjudged, killers)
    except DataError as error:
        raise DataError(f"{row.where}: {error}") from error


def _require_one_lot(wafers: Sequence[CountedWafer]) -> None:
    first: dict[tuple[str | None, str], CountedWafer] = {}
    for one in wafers:
        before = first.setdefault((one.lot, one.name), one)
        if before is not one:
            raise DataError(
                f"{one.where}: wafer {one.name} was counted already ({before.where}); give each wafer once"
            )
    lots = list(dict.fromkeys(one.lot for one in wafers if one.lot is not None))
    if len(lots) > 1:
        other = next(one for one in wafers if one.lot == lots[1])
        raise DataError(
            f"{other.where}: wafer {other.name} is of lot {lots[1]}, others are of lot {lots[0]}; decide one lot at "
            "a time"
        )


def _of_table(path: Path, bins: Collection[int] | None) -> Iterator[CountedWafer]:
    if bins is not None:
        raise ConfigurationError(f"{path}: bins are counted in KLARF files; a table holds counts already")
    for row in read_table(path, NEEDED):
        yield CountedWafer(row.cells.get("lot") or None, row.cells["wafer"], counts_of(row), row.where)


def _of_klarf(path: Path, bins: Collection[int] | None) -> Iterator[CountedWafer]:
    for wafer in read_klarf(path).wafers:
        try:
            counts, notes = _of_wafer(wafer, bins)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        yield CountedWafer(wafer.lot, str(wafer.wafer), counts, str(path), notes)


def _of_wafer(wafer: WaferResult, bins: Collection[int] | None) -> tuple[WaferCounts, tuple[str, ...]]:
    dies = list(dies_of(wafer, counted_defects(wafer, bins)).values())
    if not wafer.listed:
        return WaferCounts(0, 0, len(dies)), (
            "the file has no defect list of it, so no die counts as judged",
        )
    unjudged = dies.count(None)
    notes = []
    if not wafer.plan:
        notes.append(f"it has no sample plan, so every die ({len(dies)}) counts as inspected")
    if unjudged:
        notes.append(f"on {unjudged} dies a defect has no bin yet or no judged image: they count as unjudged")
    return WaferCounts(len(dies) - unjudged, dies.count(True), unjudged), tuple(notes)
