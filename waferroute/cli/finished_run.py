"""The finished run that a command explains."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wafer_data.errors import InputError

if TYPE_CHECKING:
    from waferroute.config import RunConfig


@contextlib.contextmanager
def finished_run(run_dir: Path, out: Path) -> "Iterator[RunConfig | None]":
    """Give the run's configuration, if it was kept; hold the run where the result goes into it.

    Args:
        run_dir: Folder of the run.
        out: Folder that the command writes.

    Yields:
        The configuration, or None.

    Raises:
        InputError: `run_dir` is not the folder of a run.
    """
    from waferroute.config import load_config
    from waferroute.run_lock import LOCK_NAME, locked

    if not (run_dir / "data").is_dir():
        raise InputError(f"{run_dir} is not a run folder (it has no data): give the folder of a finished run")
    kept = run_dir / "config.yaml"
    inside = run_dir.resolve() in out.resolve().parents and (run_dir / LOCK_NAME).exists()
    with locked(run_dir) if inside else contextlib.nullcontext():
        yield load_config(kept) if kept.is_file() else None
