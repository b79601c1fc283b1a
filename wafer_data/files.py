"""Files and folders that are written whole or not at all.

Everything is written under a temporary name beside its target, flushed to the disk and renamed. A crash, a
full disk or Ctrl-C leaves the old version in place; what a killed process left behind is removed by the next
one that writes the same target. Standard library only: this module also runs on the inspection tool.
"""

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from wafer_data.errors import ConfigurationError, InputError, NotFoundError, WriteError

# A name in a path may hold bytes that are no text. Escaped like this they are valid in JSON, which gives them back.
_NO_TEXT = "backslashreplace"
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` (parents are created), replacing an old file only once the new one is complete.

    Raises:
        InputError: When the disk is full, permission is missing or the path cannot be written.
    """
    path = Path(path)
    try:
        with unflushed_file(path) as temporary, temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _flush_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8; otherwise as `write_bytes`."""
    write_bytes(path, text.encode("utf-8", _NO_TEXT))


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` as indented JSON; otherwise as `write_bytes`.

    numpy scalars and arrays become numbers and lists, paths become strings. NaN and infinity are not JSON:
    they raise ValueError (write None where a figure does not exist).
    """
    write_text(path, json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def read_json(path: str | Path, *, keys_once: bool = False) -> Any:
    """The parsed content of a JSON file in UTF-8, or in UTF-16 or with a byte-order mark, as Windows writes them.

    Args:
        path: the file.
        keys_once: of files that people write: refuse a key that stands twice in one object, where the last would win
            unseen.

    Raises:
        InputError: If it is missing, unreadable or not JSON.
        ConfigurationError: If a key stands twice; names it.
    """
    path = Path(path)
    try:
        return json.loads(
            path.read_bytes(), object_pairs_hook=partial(_each_once, path) if keys_once else None
        )
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # broken JSON, broken UTF-8; brackets by the thousand
        raise InputError(f"{path} is not valid JSON ({error}); remove it and run again") from error


def _each_once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigurationError(f"{path}: the key {key!r} stands twice in one object: keep one of them")
        found[key] = value
    return found


def sha256_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in blocks.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def sha256_json(obj: Any) -> str:
    """Hexadecimal SHA-256 of the canonical JSON (sorted keys, no spaces) of `obj`."""
    text = json.dumps(
        obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )
    return hashlib.sha256(text.encode("utf-8", _NO_TEXT)).hexdigest()


@contextlib.contextmanager
def new_directory(path: str | Path) -> Iterator[Path]:
    """Fill a whole folder at once: yields a temporary sibling, which is renamed to `path` when the body ends.

    An old folder of that name is replaced. If the body fails or is interrupted, the temporary folder is
    removed and the old one stays.

    Raises:
        InputError: When the disk is full or permission is missing.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary = _temporary_name(path)
        temporary.mkdir()
    except OSError as error:
        raise write_error(path, error) from error
    try:
        yield temporary
        try:
            _swap_in(temporary, path)
        except OSError as error:
            raise write_error(path, error) from error
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        # Any other error of the body need not be about this folder: it keeps its type.
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise write_error(path, error) from error
        if isinstance(error, InputError) and str(temporary) in str(error):  # a folder that nobody asked for
            error.args = (str(error).replace(str(temporary), str(path)),)
        raise


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder with all that is in it to `target`, which must not exist.

    `shutil.copytree` goes on after a fault, to the end of a disk that is full, and forgets what kind it was.

    Raises:
        OSError: The first file that cannot be read or written.
    """
    target.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_dir():
            copy_folder(path, target / path.name)
        else:
            shutil.copy2(path, target / path.name)


@contextlib.contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Fill a large file in pieces: yields a temporary sibling, which is flushed and renamed to `path` at the end.

    If the body fails or is interrupted, the temporary file is removed and an old one stays.

    Raises:
        WriteError: When the disk is full or permission is missing.
    """
    path = Path(path)
    try:
        with unflushed_file(path) as temporary:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        _flush_folder(path.parent)
    except OSError as error:
        if error.errno in DISK_FULL | _NO_PERMISSION:
            raise write_error(path, error) from error
        raise


@contextlib.contextmanager
def unflushed_file(path: Path) -> Iterator[Path]:
    """As `new_file`, for many files that are flushed together later: until then a crash may leave one half written.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = _temporary_name(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_error(path: Path, error: OSError) -> WriteError:
    """The WriteError that tells the user why `path` could not be written, and what to do."""
    if error.errno in DISK_FULL:
        return WriteError(f"disk full while writing {path}: free some space and run again")
    if error.errno in _NO_PERMISSION:
        return WriteError(f"no permission to write {path}: change its permissions or choose another folder")
    return WriteError(f"cannot write {path}: {error.strerror or error}")


def _swap_in(temporary: Path, path: Path) -> None:
    """Give `temporary` the name `path`; an old folder of that name steps aside first and is then removed."""
    old = None
    if path.is_symlink() or path.exists():
        if path.is_symlink() or not path.is_dir():
            raise WriteError(f"{path} exists and is not a folder: move it away or choose another name")
        old = _temporary_name(path)
        path.rename(old)
    try:
        temporary.rename(path)
    except BaseException:
        if old is not None:
            old.rename(path)
        raise
    _flush_folder(path.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _temporary_name(path: Path) -> Path:
    """A fresh hidden sibling of `path`; the name holds the computer and process, see `_remove_leftovers`.

    Raises:
        WriteError: `path` has no name: it is "." or "/".
    """
    if not path.name:
        raise WriteError(f"{path} cannot be replaced: give the name of a file or folder to write")
    return path.with_name(f"{_temporary_start(path)}{os.getpid()}.{uuid.uuid4().hex[:8]}.part")


def _temporary_start(path: Path) -> str:
    """How the temporary names of `path` on this computer begin; short, for a name may fill all of 255 bytes."""
    return f".{_short(path.name, 100)}.{_short(platform.node(), 40)}."


def _short(name: str, most: int) -> str:
    data = os.fsencode(name)
    if len(data) <= most:
        return name
    kept = data[: most - 17].decode("ascii", "replace").replace("\ufffd", "_")
    return f"{kept}-{hashlib.sha256(data).hexdigest()[:16]}"


def _remove_leftovers(path: Path) -> None:
    """Remove temporary siblings of `path` whose process on this computer no longer lives (it was killed)."""
    if os.name != "posix":  # elsewhere signal 0 does not mean "is it alive?"
        return
    start = _temporary_start(path)
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 (no Path for each of many siblings)
    except OSError:  # a folder may be writable without being listable
        return
    for name in names:
        if not (name.startswith(start) and name.endswith(".part")):
            continue
        process = name[len(start) :].split(".")[0]
        if not process.isdigit() or _is_alive(int(process)):
            continue
        entry = path.parent / name
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process
        return True
    return True


def _flush_folder(folder: Path) -> None:
    """Make a rename durable. Some file systems refuse to sync a folder; the data itself is already safe."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _plain(obj: Any) -> Any:
    if hasattr(obj, "tolist"):  # numpy scalars and arrays, without importing numpy
        return obj.tolist()
    if isinstance(obj, Path):
        return str(obj)
    raise TypeError(f"{type(obj).__name__} cannot be written as JSON")
