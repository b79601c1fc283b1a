"""One wafer of a KLARF file, or several, by name."""

from __future__ import annotations

from pathlib import Path

from wafer_data.errors import ConfigurationError, DataError, NotFoundError
from wafer_map.klarf import WaferResult, read_klarf


def choose_wafers(path: Path, lot: str | None = None, wafer: str | None = None) -> list[WaferResult]:
    """The wafers of a file, or those of a lot or a name.

    Returns:
        At least one.

    Raises:
        InputError: the file cannot be read. DataError: it holds no wafer. NotFoundError: none of these names.
    """
    held = read_klarf(path).wafers
    if not held:
        raise DataError(f"{path} holds no wafer")
    chosen = [one for one in held if lot in (None, one.lot) and wafer in (None, one.wafer)]
    if not chosen:
        asked = " ".join(
            f"{what} {name}" for what, name in (("lot", lot), ("wafer", wafer)) if name is not None
        )
        raise NotFoundError(f"{path}: no {asked}; it holds {_names(held)}")
    return chosen


def choose_one(path: Path, lot: str | None = None, wafer: str | None = None) -> WaferResult:
    """As `choose_wafers`, for one.

    Raises:
        ConfigurationError: there are several; says how to choose.
    """
    chosen = choose_wafers(path, lot, wafer)
    if len(chosen) == 1:
        return chosen[0]
    if len({(one.lot, one.wafer) for one in chosen}) == 1:
        raise ConfigurationError(f"{path} holds {_names(chosen[:1])} {len(chosen)} times: split the file")
    how = "--wafer" if len({one.wafer for one in chosen}) == len(chosen) else "--lot and --wafer"
    raise ConfigurationError(f"{path} holds several wafers ({_names(chosen)}): choose one with {how}")


def _names(wafers: list[WaferResult]) -> str:
    lots = {one.lot for one in wafers}
    return ", ".join(
        str(one.wafer) if len(lots) == 1 else f"lot {one.lot} wafer {one.wafer}" for one in wafers
    )
