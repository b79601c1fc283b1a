"""Plays the rehearsal: days go by, things go wrong, and whoever notices is written down.

What watches is what watches a fab: `check_drift`, `look`, `run_gate`, the supervisor and people.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import sqlalchemy as sa

from lifecycle.rehearsal.bad_versions import NervousCanary, offer_blind
from lifecycle.rehearsal.brightness import Brightness
from lifecycle.rehearsal.line import WAFERS_A_LOT, Sent
from lifecycle.rehearsal.notices import Tally
from lifecycle.rehearsal.played_fab import DAY_S, PlayedFab
from lifecycle.rehearsal.renewal import Renewal
from lifecycle.rehearsal.timeline import (
    BLIND,
    CRASH,
    IMAGES_A_MONTH,
    NERVOUS,
    NEW_RECIPE,
    NEW_TYPE,
    NEW_TYPE_RATE,
    RECIPE,
)
from lifecycle.retraining.config import RetrainingConfig
from service.client import Client
from service.store.tables import inspections

LOOKS_A_DAY = 4
_MOST_OF_NEW_TYPE, _NAMED = 120, 3
_RESTART_S = 120.0


class Rehearsal:
    """One rehearsal on a running site.

    Args:
        fab: In which it happens.
        retraining: Settings of a retraining, for a process that changes and that a new version learns; None: none.
    """

    def __init__(self, fab: PlayedFab, retraining: RetrainingConfig | None = None) -> None:
        self.fab = fab
        self._brightness = Brightness(self.fab, process=retraining is not None)
        self._renewal = Renewal(self.fab, retraining) if retraining is not None else None
        self._canary: NervousCanary | None = None

    def day(self, day: int) -> None:
        """Play one day."""
        begins = self.fab.begins
        if day == begins[RECIPE]:
            self._new_recipe(day)
        if day == begins[NEW_TYPE]:
            self._new_type(day)
        if day == begins[BLIND]:
            offer_blind(self.fab, day)
        if day == begins[NERVOUS]:
            self._canary = NervousCanary(self.fab, day)
        lots = self._lots(day)
        crash = len(lots) // 2 if day == begins[CRASH] else None
        for quarter in range(LOOKS_A_DAY):
            until = day + (quarter + 1) / LOOKS_A_DAY
            for number, (at, place, wafers) in enumerate(lots):
                if until - 1 / LOOKS_A_DAY <= at < until:
                    if number == crash:
                        self._crash(at, place, wafers)
                    else:
                        self._inspect(at, place, wafers)
            self.fab.people.work(self.fab.line.truth)
            self.fab.wait_for_the_database()
            self._brightness.look(until)
            if self._canary is not None and not self._canary.over:
                self._canary.look(until)
            elif self._renewal is not None:
                self._renewal.step(until)

    def end(self) -> dict[str, Any]:
        """What the year was, JSON-ready; things that nobody noticed are noticed by nobody."""
        self._brightness.end()
        if self._canary is not None:
            self._canary.end()
        if self._renewal is not None:
            self._renewal.end()
        self.fab.notices.sort(key=lambda one: one.began)
        c = inspections.c
        several = sa.select(c.wafer_id).group_by(c.wafer_id).having(sa.func.count(sa.distinct(c.version)) > 1)
        with self.fab.database.read() as connection:
            twice = len(connection.execute(several).all())
            kept = connection.execute(sa.select(sa.func.count()).select_from(inspections)).scalar_one()
        line = self.fab.line
        return {
            "images_sent": line.sent, "images_kept": kept, "requests_failed": line.failed,
            "requests_sent_again": line.retries, "wafers_decided_by_two_versions": twice,
            "false_alarms_of_drift": self._brightness.false_alarms,
        }  # fmt: skip

    def _lots(self, day: int) -> list[tuple[float, int, int]]:
        """(time, place of the tool, wafers) of the lots of a day, in their order."""
        wafers, tools = self.fab.size.wafers_a_day(), len(self.fab.tools)
        found = []
        for first in range(0, wafers, WAFERS_A_LOT):
            count = min(WAFERS_A_LOT, wafers - first)
            found += [
                (day + (first + count * place / tools) / wafers, place, count) for place in range(tools)
            ]
        return sorted(found)

    def _inspect(self, at: float, place: int, wafers: int) -> list[Sent]:
        tool, drifting = self._brightness.seen_by(place, int(at))
        found = self.fab.line.lot(tool, at, wafers)
        for sent in found:
            for one in drifting:
                one.tally.add(sent.truth, sent.answer["decision"])
            for counting in (self._renewal, self._canary):
                if counting is not None:
                    counting.count(sent)
        return found

    # --- what comes from outside -------------------------------------------------------------------------------

    def _new_recipe(self, day: int) -> None:
        """The first wafer of a product that the bundle does not know."""
        tally, at = Tally(), day + 0.5
        for sent in self.fab.line.lot(self.fab.tools[-1], at, 1, recipe=NEW_RECIPE):
            tally.add(sent.truth, sent.answer["decision"])
            reasons = " ".join(map(str, sent.answer["reasons"]))
            if "unknown recipe" in reasons:
                by = "the answer itself (REVIEW, and no model looks)"
                self.fab.note(RECIPE, at, sent.at, by, reasons, tally)
                return
        self.fab.note(RECIPE, at, None, "nobody", "every image was judged as if it were known", tally)

    def _new_type(self, day: int) -> None:
        """Images of a new type at its rate of the case study's volume; the good ones between them are left out."""
        new = self.fab.library.new_type
        tally, named = Tally(), []
        between = 30 / (IMAGES_A_MONTH * NEW_TYPE_RATE)
        rng = np.random.default_rng((self.fab.seed, 1))
        at = float(day)
        for _ in range(_MOST_OF_NEW_TYPE):
            before, at = at, at + float(rng.exponential(between))
            (sent,) = self.fab.line.lot(self.fab.tools[-1], at, 1, hours=0.0, types=[new], points=1)
            tally.add(sent.truth, sent.answer["decision"])
            if int(24 * before) != int(24 * at):  # people look once an hour
                hour = np.ceil(24 * at) / 24
                self.fab.wait_for_the_database()
                tasks = self.fab.people.work(self.fab.line.truth)
                named += [float(hour)] * len({task["wafer_id"] for task in tasks if task["truth"] == new})
            if len(named) >= _NAMED:
                break
        first = named[0] if named else None
        third = named[_NAMED - 1] - day if len(named) >= _NAMED else None
        text = f"{new}, {tally.images - tally.escapes} of {tally.images} stopped"
        self.fab.note(
            NEW_TYPE, day, first, "people, who name what was stopped" if named else "nobody", text, tally,
            rate=NEW_TYPE_RATE, named_three_times_after_days=third,
        )  # fmt: skip

    def _crash(self, at: float, place: int, wafers: int) -> None:
        """A worker is killed while images come in."""
        line, site = self.fab.line, self.fab.site
        again = line.retries
        began = time.monotonic()
        os.kill(site.worker_pids()[0], signal.SIGKILL)
        tally = Tally()
        for sent in self._inspect(at, place, wafers):
            tally.add(sent.truth, sent.answer["decision"])
        with Client(site.urls[0], "", timeout=5) as client:
            while not client.alive() and time.monotonic() - began < _RESTART_S:
                time.sleep(0.05)
            alive = client.alive()
        seconds = time.monotonic() - began
        ended = "started again" if alive else "not started again"
        text = f"{ended}; {line.retries - again} requests sent again, {line.failed} failed"
        self.fab.note(
            CRASH, at, at + seconds / DAY_S if alive else None, "the supervisor" if alive else "nobody", text, tally,
            seconds_of_the_wall_clock=round(seconds, 2),
        )  # fmt: skip
