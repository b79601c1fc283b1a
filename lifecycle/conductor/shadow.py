"""A candidate scores what production decides, and decides nothing.

It yields to the line: what it cannot keep up with is dropped, and the share that was compared is said.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.background import Job
from service.inspecting import Inspected
from service.models import Version, load_version
from service.state import Service
from service.store.database import DatabaseDown
from service.store.tables import inspections, shadow_scores
from service.versions.folder import VersionFolder
from tool_side.agent.trial import try_bundle
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json

_LOG = logging.getLogger(__name__)
SHADOW = "shadow.json"
MOST_WAITING = 256
MOST_UNWRITTEN = 5000
_LOOK_EVERY_S, _WRITE_EVERY_S = 2.0, 1.0


def start_shadow(folder: VersionFolder, name: str) -> str:
    """Let a version score beside production. Returns its name.

    Raises:
        InputError: It is unknown or archived, decides already, or does not load.
    """
    version, pointer = folder.get(name), folder.pointer()
    if version.state == "archived":
        raise InputError(f"{version.name} is archived: push it again under a new name")
    if pointer is not None and pointer.champion == version.name:
        raise InputError(f"{version.name} decides: it cannot be its own shadow")
    problem = try_bundle(folder.bundle(version.name), folder.public_key)
    if problem is not None:
        raise InputError(f"{version.name} cannot be a shadow: {problem}")
    write_json(folder.path / SHADOW, {"version": version.name, "since": time.time()})
    return version.name


def stop_shadow(folder: VersionFolder) -> None:
    """No version scores beside production any more."""
    (folder.path / SHADOW).unlink(missing_ok=True)


def shadow_of(path: Path) -> tuple[str, float] | None:
    """(name, since) of the shadow of a folder of versions; None if there is none."""
    if not (path / SHADOW).is_file():
        return None
    try:
        found = read_json(path / SHADOW)
        return str(found["version"]), float(found["since"])
    except (InputError, KeyError, TypeError, ValueError):
        return None


class Shadow:
    """The shadow's thread of one worker.

    Args:
        service: The worker.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting: deque[str] = deque(maxlen=MOST_WAITING)
        self._unwritten: deque[dict[str, Any]] = deque(maxlen=MOST_UNWRITTEN)
        self._version: Version | None = None
        self._refused: set[str] = set()
        self._looked = -1e9
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    @property
    def version(self) -> Version | None:
        """What scores now."""
        return self._version

    def take(self, inspected: Inspected) -> None:
        """Remember an image to score; the oldest is dropped if there are too many. Quick."""
        if self._version is not None and inspected.row is not None and not inspected.repeated:
            self._waiting.append(inspected.row["id"])

    def score_waiting(self, most: int = 64) -> int:
        """Score what waits, the newest first, as long as the line leaves room. Returns how many."""
        done = 0
        version = self._version
        while version is not None and self._waiting and done < most:
            if self._service.journal.waiting > 4:  # the line is busy
                break
            done += self._score(version, self._waiting.pop())
        return done

    def write(self) -> int:
        """Keep the scores whose inspections are in the database. Returns how many were kept.

        Raises:
            DatabaseDown: Try again later; nothing is lost.
        """
        rows = list(self._unwritten)
        if not rows:
            return 0
        ids = [row["inspection_id"] for row in rows]
        database = self._service.database
        with database.write() as connection:
            known = set(
                connection.execute(sa.select(inspections.c.id).where(inspections.c.id.in_(ids))).scalars()
            )
            ready = [row for row in rows if row["inspection_id"] in known]
            if ready:
                connection.execute(database.insert_new(shadow_scores), ready)
        for row in ready:
            self._unwritten.remove(row)
        return len(ready)

    def look(self) -> None:
        """Take up, change or let go of the shadow's version, as its file says."""
        self._looked = time.monotonic()
        folder = VersionFolder(self._service.settings.models)
        wanted = shadow_of(folder.path)
        name = wanted[0] if wanted else None
        if name == (self._version.name if self._version else None) or name in self._refused:
            return
        self._version = None
        self._waiting.clear()
        if name is None:
            return
        try:
            self._version = self._service.models.warm().get(name) or load_version(folder.bundle(name), name)
        except InputError as error:
            self._refused.add(name)
            _LOG.error("the shadow %s does not load: %s", name, error)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _score(self, version: Version, inspection_id: str) -> int:
        entry = self._service.journal.get(inspection_id)
        if entry is None:  # shipped already
            with self._service.database.read() as connection:
                found = connection.execute(
                    sa.select(inspections.c.image_sha256, inspections.c.recipe).where(
                        inspections.c.id == inspection_id
                    )
                ).first()
            image = None if found is None else self._service.images.get(found.image_sha256)
            recipe = None if found is None else found.recipe
        else:
            from service.store import record

            image, recipe = entry.image, record.parse(entry.record)["recipe"]
        if image is None:
            return 0
        result = version.inspector.inspect(image, recipe=recipe)
        self._unwritten.append(
            {
                "inspection_id": inspection_id, "version": version.name, "decision": str(result.decision),
                "route": str(result.route), "score": result.score, "at": time.time(),
                "inference_ms": 1000 * result.seconds.get("total", 0.0),
            }
        )  # fmt: skip
        return 1

    def _run(self) -> None:
        written = time.monotonic()
        while not self._stop.wait(0.05):
            try:
                if time.monotonic() - self._looked > _LOOK_EVERY_S:
                    self.look()
                self.score_waiting()
                if time.monotonic() - written > _WRITE_EVERY_S:
                    written = time.monotonic()
                    self.write()
            except (DatabaseDown, OSError) as error:
                _LOG.warning("the shadow waits: %s", error)
            except Exception:  # the shadow must never take a worker with it
                _LOG.exception("the shadow failed on an image")


def attach(service: Service) -> None:
    """Let this worker's shadow see every decision."""
    service.shadow = Shadow(service)
    service.after.append(service.shadow.take)
    service.closing.append(service.shadow.close)


JOBS: list[Job] = []
ROUTES: list[Any] = []
