"""The fab that is played: its size, its line, its people and its service, and what was noticed in it.

The clock of the rehearsal is the time at which images are taken; the service keeps it, and drift and canaries are
judged by it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lifecycle.rehearsal.images import Library, frozen_set
from lifecycle.rehearsal.line import IMAGES_A_WAFER, Line, Tool
from lifecycle.rehearsal.notices import Notice, Tally
from lifecycle.rehearsal.people import Reviewer
from lifecycle.rehearsal.site import Site
from lifecycle.rehearsal.timeline import Timeline
from service.store.database import Database, sqlite_url
from service.store.tables import inspections
from service.versions.folder import VersionFolder
from tool_side import Inspector
from wafer_data.errors import InputError

DAY_S = 86400.0
_WAIT_S = 120.0


@dataclass(frozen=True)
class Size:
    """How much is played.

    Attributes:
        days: Of the fab.
        tools: At least two.
        images_a_day: Of all tools, a sample of what a fab inspects.
    """

    days: int = 365
    tools: int = 3
    images_a_day: int = 24

    def wafers_a_day(self) -> int:
        """Of each tool, at least one."""
        return max(1, round(self.images_a_day / (self.tools * IMAGES_A_WAFER)))


class PlayedFab:
    """What all that goes wrong in a rehearsal happens in.

    Args:
        site: The service, just started.
        bundle: What it serves.
        library: What there is to be seen.
        size: How much is played.
        seed: Of everything that is drawn.
        scratch: A folder for the candidates and the frozen set.

    Attributes:
        begins: {event: day}.
        notices: What was noticed so far.
    """

    def __init__(
        self, site: Site, bundle: Path, library: Library, size: Size, seed: int, scratch: Path
    ) -> None:
        self.site, self.bundle, self.library, self.size = site, bundle, library, size
        self.seed, self.scratch = seed, scratch
        self.inspector = Inspector(bundle)
        self.database = Database(sqlite_url(site.data / "waferroute.db"))
        self.folder = VersionFolder(site.data / "models")
        recipe = self.inspector.recipes[0] if len(self.inspector.recipes) > 1 else None
        self._start = (time.time() // DAY_S - size.days - 2) * DAY_S
        self.line = Line(site.urls, site.key, library, recipe, self._start, seed)
        self.people = Reviewer(site.urls[-1], site.password)
        self.tools = [Tool(f"T{i + 1}", f"M{i % 2 + 1}") for i in range(size.tools)]
        self.begins = Timeline(size.days).begins
        self.notices: list[Notice] = []

    def unix_time(self, day: float) -> float:
        """When a day of the rehearsal is."""
        return self._start + DAY_S * day

    def note(
        self, event: str, began: float, noticed: float | None, by: str, text: str, cost: Tally, **figures: Any
    ) -> None:
        """Write down who noticed an event; see `Notice`."""
        self.notices.append(Notice(event, float(began), noticed, by, text, cost, figures))

    def champion(self) -> str:
        """The version that decides."""
        pointer = self.folder.pointer()
        assert pointer is not None  # the site serves one
        return pointer.champion

    def follow(self, seq: int) -> None:
        """Wait until every worker follows a line of the pointer.

        Raises:
            InputError: One does not.
        """
        _, waiting = self.folder.wait(seq)
        if waiting:
            raise InputError(f"workers of the rehearsal do not follow: {waiting}")

    def frozen(self) -> Path:
        """A frozen set with the defect types that are known."""
        return frozen_set(self.library, self.scratch / "frozen")

    def wait_for_the_database(self) -> None:
        """Everything that was answered is in the database, so that a look sees the same in every rehearsal."""
        count = sa.select(sa.func.count()).select_from(inspections)
        deadline = time.monotonic() + _WAIT_S
        while True:
            with self.database.read() as connection:
                if connection.execute(count).scalar_one() >= self.line.sent:
                    return
            if time.monotonic() > deadline:
                raise InputError("what the service answered does not reach its database")
            time.sleep(0.02)

    def close(self) -> None:
        """Let go of the service."""
        self.line.close()
        self.people.close()
        self.database.close()
