"""A KLARF file of any version that is read."""

from __future__ import annotations

from pathlib import Path

from wafer_data.errors import InputError
from wafer_map.klarf.model import KlarfFile
from wafer_map.klarf.read_12 import Reader12
from wafer_map.klarf.read_18 import Reader18
from wafer_map.klarf.tokens import Text

MOST_BYTES = 512_000_000
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"F\x00", b"\x00F", b"R\x00", b"\x00R")  # its mark, or a first letter


def read_klarf(path: str | Path, *, keep_incomplete: bool = False) -> KlarfFile:
    """Read a KLARF file.

    Args:
        path: the file.
        keep_incomplete: accept a file without EndOfFile (it was cut off, or is still being written); of versions 1.1
            and 1.2 also one that ends inside a statement, whose last defect is then left out. `complete` tells.

    Returns:
        The file's content.

    Raises:
        InputError: the file cannot be read, is no KLARF of a version that is read, or is damaged; names the line.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)  # a device or a pipe does not say beforehand how much it holds
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise InputError(f"{path}: more than {MOST_BYTES // 10**6} megabytes, which no KLARF file has")
    return parse_klarf(data, source=str(path), keep_incomplete=keep_incomplete)


def parse_klarf(data: bytes, *, source: str = "KLARF", keep_incomplete: bool = False) -> KlarfFile:
    """The content of a KLARF file's bytes; see `read_klarf`.

    Args:
        source: How messages call it.
    """
    if data.startswith(_UTF_16):
        raise InputError(f"{source}: the file is in UTF-16; save it as ASCII or UTF-8, as KLARF files are")
    try:
        text, encoding = data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = data.decode("latin-1"), "latin-1"  # every byte is a character: nothing is lost
    words = text.lstrip("\ufeff \t\r\n").split(None, 1)
    first = words[0] if words else ""
    file = KlarfFile("", source, text, encoding)
    places = Text(text.replace("\ufeff", " ", 1) if text.startswith("\ufeff") else text, source)
    if first == "FileVersion":
        Reader12(places, file, keep_incomplete).read()
    elif first == "Record":
        Reader18(places, file).read()
    else:
        shown = first[:40]
        raise InputError(
            f"{source}: no KLARF file: it begins with {shown!r} instead of FileVersion (1.1, 1.2) or Record (1.8)"
        )
    if not file.version:
        raise InputError(f"{source}: no FileVersion could be read")
    if not file.wafers:
        file.notes.append("it holds no wafer")
    if not file.complete and not keep_incomplete:
        last = places.line(max(0, len(text.rstrip()) - 1))
        raise InputError(
            f"{source}, line {last}: EndOfFile is missing: the file was cut off, or is still being written"
        )
    return file
