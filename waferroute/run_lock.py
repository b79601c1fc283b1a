"""One command at a time in a run folder, and never in a folder that is not one."""

import contextlib
import fcntl
import json
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from wafer_data.errors import BusyError, InputError
from wafer_data.files import write_error

LOCK_NAME = "run.lock"
_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold `run_dir` (created if missing) for as long as the body runs.

    The lock file stays behind and marks the folder as a run: a folder that holds other things is refused,
    because stages replace sub-folders with names as common as `data`. The lock is a POSIX record lock: it
    ends with the process however that dies, is not inherited by data loading workers, and works over NFS.

    Raises:
        InputError: When another process holds the folder, when it is not a run folder, or when it cannot be
            written.
    """
    path = run_dir / LOCK_NAME
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists() and any(not entry.name.startswith(".") for entry in run_dir.iterdir()):
            raise InputError(
                f"{run_dir} holds files that are not of a run, and stages would replace some of them: "
                "choose a new or empty folder with run.dir=DIR"
            )
        handle = path.open("a+", encoding="utf-8")
    except FileExistsError as error:
        raise InputError(f"{run_dir} is a file; choose another folder with run.dir=DIR") from error
    except NotADirectoryError as error:
        raise InputError(f"{run_dir} cannot be a folder: a part of that path is a file") from error
    except OSError as error:
        raise write_error(run_dir, error) from error
    with handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise BusyError(
                f"{run_dir} is in use by another waferroute command{_holder(path)}: "
                "wait for it to end, or choose another folder with run.dir=DIR"
            ) from error
        except OSError as error:  # a file system without locks
            _LOG.warning("warning: %s cannot be locked (%s)", run_dir, error.strerror)
        handle.truncate(0)
        json.dump({"process": os.getpid(), "host": platform.node()}, handle)
        handle.flush()
        yield


def _holder(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return f" (process {content['process']} on {content['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
