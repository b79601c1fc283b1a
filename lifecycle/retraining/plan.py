"""One retraining: its folder, and what was fixed when it began, so that it is the same however often it is resumed."""

from __future__ import annotations

import contextlib
import fcntl
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from lifecycle.retraining.config import RetrainingConfig
from service.store.database import Database, existing_database
from service.versions.folder import VersionFolder, versions_in
from wafer_data.errors import BusyError, InputError
from wafer_data.files import read_json, write_error, write_json

PLAN, LOCK = "retraining.json", "retrain.lock"
REGRESSION = "regression"
Trigger = Literal["manual", "monthly", "drift"]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")


@dataclass(frozen=True)
class Plan:
    """A retraining that was begun.

    Attributes:
        id: Name of its folder.
        trigger: What began it.
        why: In words.
        until: End of the window that images are taken from, Unix time: when it began.
        production: The version in use, which the candidate is compared with; once the candidate is a version, the one
            that it was compared with. None: there is none yet.
        config: The settings, as they are now.
    """

    id: str
    trigger: Trigger
    why: str
    until: float
    production: str | None
    config: RetrainingConfig

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return Path(self.config.work) / self.id

    @property
    def regression(self) -> Path:
        """The defects of earlier times, shared by all retrainings; a folder a type."""
        return Path(self.config.work) / REGRESSION

    @property
    def since(self) -> float:
        """Begin of the window, Unix time."""
        return self.until - 86_400 * self.config.extract.days

    def versions(self) -> VersionFolder:
        """The service's versions."""
        return versions_of(self.config)

    def database(self) -> Database:
        """The service's database."""
        return database_of(self.config)


def versions_of(config: RetrainingConfig) -> VersionFolder:
    """The service's versions.

    Raises:
        InputError: There is no such service.
    """
    return versions_in(Path(config.service.data), config.service.public_key)


def database_of(config: RetrainingConfig) -> Database:
    """The service's database.

    Raises:
        InputError: It is an SQLite file that is not there, or the URL is of no kind that is known.
    """
    return existing_database(Path(config.service.data), config.service.database)


def begin(config: RetrainingConfig, name: str, trigger: Trigger, why: str, now: float | None = None) -> Plan:
    """Begin a retraining, or find the one of this name: what was fixed at its begin stays.

    Raises:
        InputError: The name cannot be a folder's, the service is not there, or nothing can be written.
    """
    if not _ID.fullmatch(name) or name == REGRESSION:
        raise InputError(f"a retraining cannot be called {name!r}: write letters, digits and . _ - +")
    path = Path(config.work) / name / PLAN
    if not path.is_file():
        versions_of(config)
        fixed = {
            "id": name,
            "trigger": trigger,
            "why": why,
            "until": time.time() if now is None else now,
        }
        write_json(path, fixed)
    return read_plan(config, name)


def read_plan(config: RetrainingConfig, name: str) -> Plan:
    """A retraining that was begun.

    Raises:
        InputError: There is none of this name, or its file is damaged.
    """
    path = Path(config.work) / name / PLAN
    content = read_json(path)
    try:
        return Plan(
            str(content["id"]),
            content["trigger"],
            str(content["why"]),
            float(content["until"]),
            _production(config, path.parent),
            config,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: remove its folder to begin that retraining again") from error


def _production(config: RetrainingConfig, folder: Path) -> str | None:
    """Whom the candidate is compared with: a gate that was asked about yesterday's version says nothing of today's."""
    if (folder / "register" / "version.json").is_file():
        against = read_json(folder / "gate" / "gate.json")["against"]
        return None if against is None else str(against)
    pointer = versions_of(config).pointer()
    return pointer.champion if pointer else None


def all_plans(config: RetrainingConfig) -> list[Plan]:
    """All retrainings, the oldest first."""
    found = [read_plan(config, path.parent.name) for path in Path(config.work).glob(f"*/{PLAN}")]
    return sorted(found, key=lambda plan: (plan.until, plan.id))


def settings_of(plan: Plan, *sections: str) -> dict[str, object]:
    """What a step depends on: the plan's fixed part and sections of its settings, as JSON."""
    fixed = {key: value for key, value in asdict(plan).items() if key in ("id", "until")}
    whole = plan.config.model_dump(mode="json")
    return {**fixed, **{name: whole[name] for name in sections}}


@contextlib.contextmanager
def locked(work: str | Path) -> Iterator[None]:
    """Hold the folder of retrainings: one at a time. The lock ends with the process, however that dies.

    Raises:
        BusyError: Another process is at work there.
    """
    path = Path(work) / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")
    except OSError as error:
        raise write_error(path, error) from error
    with handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise BusyError(f"{work} is in use by another retraining: wait for it to end") from error
        yield
