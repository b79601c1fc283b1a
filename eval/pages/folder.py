"""Result folders that a command may replace as a whole, so nothing else may lie in them."""

from collections.abc import Collection
from pathlib import Path

from wafer_data.errors import InputError
from wafer_data.files import write_error


def require_replaceable(out: Path, names: Collection[str], what: str) -> None:
    """Raise InputError unless `out` is missing, empty, or holds nothing but `names`, an earlier `what` ("a ...")."""
    try:
        if not out.exists() and not out.is_symlink():
            return
        if not out.is_dir():
            raise InputError(f"{out} is not a folder: choose another one with --out DIR")
        foreign = sorted({entry.name for entry in out.iterdir()} - set(names))
    except OSError as error:
        raise write_error(out, error) from error
    if foreign:
        raise InputError(
            f"{out} holds files that are not of {what} ({foreign[0]}), and the folder would be replaced: "
            "choose a new or empty one with --out DIR"
        )
