"""Which pictures show the same part, or were cut from the same photograph: their names say so."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import PurePath

from wafer_data.errors import ConfigurationError, InputError

_COORDINATES = re.compile(
    r"^(|.*?[ _.-])(?:(?:y|r|row)[_-]?\d+[_-](?:x|c|col|column)|(?:x|c|col|column)[_-]?\d+[_-](?:y|r|row))[_-]?\d+$",
    re.IGNORECASE,
)
"""Names of tiles: what was cut, then its row and column there (`scan7_y0240_x1200`, `scan7-r3-c12`)."""


def cut_from(path: PurePath) -> str | None:
    """What a tile was cut from (its folder and the name before row and column); None if `path` names no tile."""
    found = _COORDINATES.match(path.stem)
    return None if found is None else str(path.parent / found[1])


def parts_named(paths: Sequence[PurePath], same_part: str) -> list[int] | None:
    """Number of the part that each picture shows, as `data.same_part` has it; None: each shows one of its own."""
    if same_part == "never":
        return None
    if same_part != "auto":
        return parts_of([path.name for path in paths], same_part)
    cut = [cut_from(path) for path in paths]
    return None if None in cut else numbered(cut)


def numbered(parts: Sequence[Hashable]) -> list[int]:
    """Parts by number, 0, 1, ... in the order in which they first appear."""
    number = {part: i for i, part in enumerate(dict.fromkeys(parts))}
    return [number[part] for part in parts]


def parts_of(names: Sequence[str], pattern: str, gap: int = 0) -> list[int]:
    """Number of the part that each picture shows.

    Args:
        names: Of the files.
        pattern: Regular expression; what its first group (or all of it) finds in a name is the part, so
            `(wafer[0-9]+)_` takes files of one wafer together.
        gap: > 0: what is found is a running number, and numbers in a row with steps up to `gap` are one part:
            `num_([0-9]+)` with 200 for the magnetic tiles, of which each was taken under up to six lights.

    Raises:
        ConfigurationError: The pattern is no regular expression. InputError: It does not fit a name, or finds no number
            where `gap` asks for one.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f"{pattern!r} is no regular expression ({error})") from error
    found = []
    for name in names:
        match = expression.search(name)
        text = None if match is None else match.group(1 if expression.groups else 0)
        if not text:
            raise InputError(f"the pattern {pattern!r} finds no part in the name {name}")
        if gap and not (text.isascii() and text.isdecimal()):
            raise InputError(
                f"the pattern {pattern!r} finds {text!r} in the name {name}, which is no whole number"
            )
        found.append(text)
    if not gap:
        return numbered(found)
    order = sorted(range(len(found)), key=lambda i: int(found[i]))
    parts, part = [0] * len(found), 0
    for last, i in zip([order[0], *order] if order else [], order, strict=False):
        part += int(found[i]) - int(found[last]) > gap
        parts[i] = part
    return parts
