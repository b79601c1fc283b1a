"""Losses of a stage, to a plain CSV that always exists and to wandb (offline unless the user says otherwise)."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wafer_data.errors import InputError
from wafer_data.files import write_text

PHASES = ("imitation", "elbo")

COLUMNS = (
    "phase",
    "epoch",
    "learning_rate",
    "distill",
    "distill_normal",
    "distill_synthetic",
    "held_out",
    "bce",
    "kl",
    "kl_weight",
)


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write the rows that `training.loop.train` returns, one an epoch, as CSV."""
    rows = [{"epoch": epoch, **row} for epoch, row in enumerate(history)]
    write_text(path, _as_csv(rows, ["epoch", *history[0]]))


class LossLog:
    """Rows of losses, one an epoch, each loss in a column of its own; rewritten whole after every epoch.

    Args:
        path: the CSV; rows already there (of an interrupted run) are read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            with path.open(newline="") as handle:
                self.rows = list(csv.DictReader(handle))

    def add(self, phase: str, epoch: int, **losses: float) -> None:
        """Append a row and write the file; rows of this or a later epoch (of a run that was killed) go first."""
        here = (PHASES.index(phase), epoch)
        self.rows = [r for r in self.rows if (PHASES.index(r["phase"]), int(r["epoch"])) < here]
        values: dict[str, Any] = {"phase": phase, "epoch": epoch, **losses}
        self.rows.append({column: values.get(column, "") for column in COLUMNS})
        write_text(self.path, _as_csv(self.rows, COLUMNS))


def _as_csv(rows: list[dict[str, Any]], columns: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class WandbRun:
    """A wandb run of one stage; does nothing when disabled. `WANDB_MODE` in the environment overrides the mode."""

    def __init__(self, mode: str, stage: str, run_dir: Path, config: dict[str, Any]) -> None:
        mode = os.environ.get("WANDB_MODE", mode)
        self.run: Any = None
        if mode == "disabled":
            return
        try:
            import wandb

            settings = wandb.Settings(console="off", silent=True)
            self.run = wandb.init(
                project="waferroute",
                name=f"{run_dir.name}-{stage}",
                dir=str(run_dir),
                mode=mode,  # type: ignore[arg-type]
                config=config,
                settings=settings,
            )
        except Exception as error:
            raise InputError(
                f"wandb could not start in mode {mode} ({type(error).__name__}: {error}); "
                "set distill.wandb=disabled to go on without it"
            ) from error

    def log(self, values: dict[str, Any]) -> None:
        """Log one row."""
        if self.run is not None:
            self.run.log({k: v for k, v in values.items() if not isinstance(v, str)})

    def finish(self) -> None:
        """Close the run."""
        if self.run is not None:
            self.run.finish()
