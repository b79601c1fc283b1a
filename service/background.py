"""What a worker does beside answering.

Ship the journal, refresh keys and rules, and the jobs that one worker at a time does. All of it in one
thread; nothing in it is on the way of an answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from service.decide.rules import read_rules
from service.decide.upheld import measure_upheld
from service.memory import give_back
from service.state import Service
from service.store.database import DatabaseDown
from service.store.migrate import HEAD, current_revision, migrate
from service.store.ship import Shipper
from service.store.tables import leases
from wafer_data.errors import InputError

_LOG = logging.getLogger(__name__)
REFRESH_EVERY_S = 1.0
_MINUTE_S = 60.0
_RETRY_S = 1.0
# Entries in the journal from which on shipping does not pause.
_BEHIND = 64


@dataclass(frozen=True)
class Job:
    """Work that one worker at a time does, every `every_s` seconds.

    Attributes:
        run: May raise DatabaseDown or OSError.
    """

    name: str
    every_s: float
    run: Callable[[Service], object]


class Background:
    """The thread.

    Attributes:
        jobs: See :class:`Job`.
    """

    def __init__(self, service: Service, jobs: list[Job]) -> None:
        self._service, self._jobs = service, jobs
        self.shipper = Shipper(service.journal, service.database, service.images)
        service.behind = self.shipper.lag
        self._stop = threading.Event()
        self._due = dict.fromkeys((job.name for job in jobs), 0.0)
        self._refresh_due, self._minute_due = 0.0, 0.0
        self._rules_seen: tuple[int, int] | None = None
        self._schema_known = False
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the work at hand; what is in the journal and not shipped is shipped by the next start."""
        self._stop.set()
        self._thread.join(timeout=30)

    def refresh(self) -> None:
        """Take over what changed outside: rules, keys, other workers' journals. Raises DatabaseDown."""
        self._read_rules()
        self._service.journal.find_siblings()
        self._service.journal.try_again()
        self._service.journal.checkpoint()
        if not self._schema_known:
            # A database of an earlier version is only upgraded without being asked where it is ours alone.
            if self._service.database.dialect == "sqlite" or current_revision(self._service.database) is None:
                migrate(self._service.database)
            elif current_revision(self._service.database) != HEAD:
                raise DatabaseDown("it has an older schema: run `waferroute service migrate`")
            self._schema_known = True
        self._service.keys.refresh(self._service.database)
        if time.monotonic() >= self._minute_due:
            self._minute_due = time.monotonic() + _MINUTE_S
            self._service.upheld = measure_upheld(self._service.database)
            give_back()

    def _run(self) -> None:
        while not self._stop.is_set():
            pause = self._service.settings.ship_every_s
            try:
                now = time.monotonic()
                if now >= self._refresh_due:
                    self._refresh_due = now + REFRESH_EVERY_S
                    self.refresh()
                if self.shipper.ship() >= _BEHIND:
                    pause = 0.0
                self.shipper.seal()
                self._run_jobs()
                self._note("database", None)
            except (DatabaseDown, OSError) as error:
                reason = error.reason if isinstance(error, DatabaseDown) else error
                self._note("database", f"down: {reason}")
                pause = _RETRY_S
            except Exception as error:  # the thread must live; the note and the log say what happened
                self._note("database", f"failed: {type(error).__name__}: {error}")
                pause = _RETRY_S
            self._stop.wait(pause)
        self._finish()

    def _finish(self) -> None:
        try:
            while self.shipper.ship():
                pass
            self.shipper.seal(now=True)
        except Exception as error:
            _LOG.warning("the journal keeps what could not be shipped: %s", error)

    def _run_jobs(self) -> None:
        for job in self._jobs:
            if time.monotonic() >= self._due[job.name] and not self._stop.is_set():
                self._due[job.name] = time.monotonic() + job.every_s
                if self._lead(job):
                    job.run(self._service)

    def _lead(self, job: Job) -> bool:
        """Whether this worker does the job now: nobody else did within its time."""
        now, holder = time.time(), self._service.journal.node
        with self._service.database.write() as connection:
            found = connection.execute(
                sa.select(leases).where(leases.c.name == job.name).with_for_update()
            ).first()  # fmt: skip
            if found is None:
                connection.execute(
                    self._service.database.insert_new(leases).values(
                        name=job.name, holder=holder, until=now + job.every_s
                    )
                )
                return True
            # `until` far ahead is a clock that jumped, not a holder that is busy.
            if found.holder != holder and now < found.until <= now + 2 * job.every_s:
                return False
            connection.execute(
                sa.update(leases)
                .where(leases.c.name == job.name)
                .values(holder=holder, until=now + job.every_s)
            )
        return True

    def _read_rules(self) -> None:
        path = self._service.settings.rules
        if path is None:
            return
        seen = _stamp(path)
        if seen == self._rules_seen:
            return
        self._rules_seen = seen
        try:
            self._service.rules = read_rules(path)
        except InputError as error:
            # The old rules stay in force: no rules at all would be less strict.
            self._note("rules", f"the changed file is refused, the rules before it stay: {error}")
        else:
            self._note("rules", None)

    def _note(self, what: str, text: str | None) -> None:
        if self._service.notes.get(what) != text:
            if text is not None or what in self._service.notes:
                _LOG.warning("%s: %s", what, text or "well again")
            if text is None:
                self._service.notes.pop(what, None)
            else:
                self._service.notes[what] = text


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
