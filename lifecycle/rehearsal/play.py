"""Plays the rehearsal: days go by, things go wrong, and whoever notices is written down.

The clock of the rehearsal is the time at which images are taken; the service keeps it, and drift and canaries are
judged by it. What watches is what watches a fab: `check_drift`, `look`, `run_gate`, the supervisor and people.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from PIL import Image

from lifecycle.conductor.canary import look, start_canary
from lifecycle.conductor.drift import check_drift
from lifecycle.drift.columns import FLAGGED, UNJUDGED
from lifecycle.drift.fab import Alarm
from lifecycle.gate.gate import run_gate
from lifecycle.gate.scored import labelled_images
from lifecycle.rehearsal import candidates
from lifecycle.rehearsal.images import GOOD, Library
from lifecycle.rehearsal.line import IMAGES_A_WAFER, WAFERS_A_LOT, Line, Sent, Tool
from lifecycle.rehearsal.notices import Notice, Tally
from lifecycle.rehearsal.people import Reviewer
from lifecycle.rehearsal.relearn import Learned, Relearning
from lifecycle.rehearsal.site import Site
from lifecycle.rehearsal.timeline import (
    BLIND,
    CRASH,
    DRIFT_A_MONTH,
    IMAGES_A_MONTH,
    LAMP,
    LAMP_GAIN,
    NERVOUS,
    NEW_RECIPE,
    NEW_TYPE,
    NEW_TYPE_RATE,
    PROCESS,
    PROCESS_GAIN,
    RECIPE,
    RETRAINING,
    SLOW_DRIFT,
    Timeline,
)
from lifecycle.retraining.config import RetrainingConfig
from service.client import Client
from service.store.database import Database, sqlite_url
from service.store.tables import inspections
from service.versions.folder import VersionFolder
from tool_side import Inspector
from wafer_data.errors import InputError

DAY_S = 86400.0
CANARY_SHARE, CANARY_DAYS = 0.3, 14.0
SHADOW_DAYS = 3.0
LOOKS_A_DAY = 4
_MOST_OF_NEW_TYPE, _NAMED = 120, 3
_FROZEN_NORMALS, _FROZEN_OF_A_TYPE = 40, 6
_WAIT_S = 120.0
_DRIFT_TOLD_DAYS = 28


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


@dataclass
class _Drifting:
    """Brightness that is no longer what it was. tool: place among the tools; None: all, and there to stay."""

    event: str
    tool: int | None
    began: int
    gain: Callable[[int], float]
    tally: Tally
    ended: float | None = None


@dataclass
class _Relearned:
    """A retraining on its way. began: day on which drift asked; until: of the shadow; canary: it decides a share."""

    learned: Learned
    began: float
    until: float
    tally: Tally
    canary: bool = False


class Rehearsal:
    """One rehearsal on a running site.

    Args:
        site: The service, just started.
        bundle: What it serves.
        library: What there is to be seen.
        size: How much is played.
        seed: Of everything that is drawn.
        scratch: A folder for the candidates and the frozen set.
        retraining: Settings of a retraining, for a process that changes and that a new version learns; None: none.
    """

    def __init__(
        self, site: Site, bundle: Path, library: Library, size: Size, seed: int, scratch: Path,
        retraining: RetrainingConfig | None = None,
    ) -> None:  # fmt: skip
        self._site, self._bundle, self._library, self._size = site, bundle, library, size
        self._scratch, self._seed = scratch, seed
        self._inspector = Inspector(bundle)
        self._database = Database(sqlite_url(site.data / "waferroute.db"))
        self._folder = VersionFolder(site.data / "models")
        recipe = self._inspector.recipes[0] if len(self._inspector.recipes) > 1 else None
        self._start = (time.time() // DAY_S - size.days - 2) * DAY_S
        self.line = Line(site.urls, site.key, library, recipe, self._start, seed)
        self._people = Reviewer(site.urls[-1], site.password)
        self._tools = [Tool(f"T{i + 1}", f"M{i % 2 + 1}") for i in range(size.tools)]
        self._begins = Timeline(size.days).begins
        self.notices: list[Notice] = []
        self.false_alarms: list[str] = []
        self._sounding: set[tuple[str, str]] = set()
        loss, begin = DRIFT_A_MONTH / 30, self._begins[SLOW_DRIFT]
        self._drifting = [
            _Drifting(SLOW_DRIFT, 0, begin, lambda day: 1 - loss * (day - begin + 1), Tally()),
            _Drifting(LAMP, 1, self._begins[LAMP], lambda day: LAMP_GAIN, Tally()),
        ]
        self._relearning: Relearning | None = None
        self._relearned: _Relearned | None = None
        if retraining is not None:
            self._relearning = Relearning(retraining, site.data, scratch, self._frozen)
            begin = self._begins[PROCESS]
            self._drifting.append(_Drifting(PROCESS, None, begin, lambda day: PROCESS_GAIN, Tally()))
        self._canary: tuple[str, Tally, int] | None = None
        self._recipe_until = -1

    def day(self, day: int) -> None:
        """Play one day."""
        if day == self._begins[RECIPE]:
            self._new_recipe(day)
        if day == self._begins[NEW_TYPE]:
            self._new_type(day)
        if day == self._begins[BLIND]:
            self._bad_candidate(day)
        if day == self._begins[NERVOUS]:
            self._start_canary(day)
        lots = self._lots(day)
        crash = len(lots) // 2 if day == self._begins[CRASH] else None
        for quarter in range(LOOKS_A_DAY):
            until = day + (quarter + 1) / LOOKS_A_DAY
            for number, (at, place, wafers) in enumerate(lots):
                if until - 1 / LOOKS_A_DAY <= at < until:
                    if number == crash:
                        self._crash(at, place, wafers)
                    else:
                        self._inspect(at, place, wafers)
            self._people.work(self.line.truth)
            self._wait_for_the_database()
            self._look_for_drift(until)
            if self._canary is not None:
                self._look_at_canary(until)
            elif self._relearning is not None and until > self._begins[PROCESS]:
                self._relearn(self._relearning, until)

    def end(self) -> dict[str, Any]:
        """What the year was, JSON-ready; things that nobody noticed are noticed by nobody."""
        for one in self._drifting:
            if one.ended is None and one.began < self._size.days:
                self._note(one.event, one.began, None, "nobody", "not noticed", one.tally)
        if self._canary is not None:
            name, tally, began = self._canary
            self._note(NERVOUS, began, None, "nobody", f"{name} still decides its share", tally)
        if self._relearned is not None:
            text = f"{self._relearned.learned.version} does not decide everything yet"
            self._note(RETRAINING, self._relearned.began, None, "nobody", text, self._relearned.tally)
        self.notices.sort(key=lambda one: one.began)
        c = inspections.c
        several = sa.select(c.wafer_id).group_by(c.wafer_id).having(sa.func.count(sa.distinct(c.version)) > 1)
        with self._database.read() as connection:
            twice = len(connection.execute(several).all())
            kept = connection.execute(sa.select(sa.func.count()).select_from(inspections)).scalar_one()
        return {
            "images_sent": self.line.sent, "images_kept": kept, "requests_failed": self.line.failed,
            "requests_sent_again": self.line.retries, "wafers_decided_by_two_versions": twice,
            "false_alarms_of_drift": self.false_alarms,
        }  # fmt: skip

    def close(self) -> None:
        """Let go of the service."""
        self.line.close()
        self._people.close()
        self._database.close()

    # --- an ordinary day ---------------------------------------------------------------------------------------

    def _lots(self, day: int) -> list[tuple[float, int, int]]:
        """(time, place of the tool, wafers) of the lots of a day, in their order."""
        wafers, tools = self._size.wafers_a_day(), len(self._tools)
        found = []
        for first in range(0, wafers, WAFERS_A_LOT):
            count = min(WAFERS_A_LOT, wafers - first)
            found += [
                (day + (first + count * place / tools) / wafers, place, count) for place in range(tools)
            ]
        return sorted(found)

    def _inspect(self, at: float, place: int, wafers: int) -> list[Sent]:
        tool, day = self._tools[place], int(at)
        drifting = [
            d for d in self._drifting
            if d.tool in (place, None) and d.began <= day and (d.ended is None or d.tool is None)
        ]  # fmt: skip
        for one in drifting:
            tool = tool.with_gain(tool.camera.gain * one.gain(day))
        drifting = [d for d in drifting if d.ended is None]
        found = self.line.lot(tool, at, wafers)
        for sent in found:
            for one in drifting:
                one.tally.add(sent.truth, sent.answer["decision"])
            if self._relearned is not None:
                self._relearned.tally.add(sent.truth, sent.answer["decision"])
            if self._canary is not None and sent.answer["model_version"] == self._canary[0]:
                self._canary[1].add(sent.truth, sent.answer["decision"])
        return found

    def _wait_for_the_database(self) -> None:
        """Everything that was answered is in the database, so that a look sees the same in every rehearsal."""
        count = sa.select(sa.func.count()).select_from(inspections)
        deadline = time.monotonic() + _WAIT_S
        while True:
            with self._database.read() as connection:
                if connection.execute(count).scalar_one() >= self.line.sent:
                    return
            if time.monotonic() > deadline:
                raise InputError("what the service answered does not reach its database")
            time.sleep(0.02)

    def _now(self, day: float) -> float:
        return self._start + DAY_S * day

    def _note(
        self, event: str, began: float, noticed: float | None, by: str, text: str, cost: Tally, **figures: Any
    ) -> None:
        self.notices.append(Notice(event, float(began), noticed, by, text, cost, figures))

    # --- drift -------------------------------------------------------------------------------------------------

    def _look_for_drift(self, at: float) -> None:
        alarms = check_drift(self._database, self._champion(), self._inspector, self._now(at))
        for alarm in alarms:
            told = [d for d in self._drifting if self._explains(d, alarm, at)]
            for one in told:
                if one.ended is None:
                    one.ended = at  # a lamp is put right at once
                    self._note(one.event, one.began, at, "drift", alarm.text, one.tally, cause=alarm.cause)
            if (
                not told
                and not self._is_new_type(alarm, at)
                and (alarm.cause, alarm.where) not in self._sounding
            ):
                self.false_alarms.append(f"day {at:.2f}: {alarm.text}")
        self._sounding = {(alarm.cause, alarm.where) for alarm in alarms}

    def _is_new_type(self, alarm: Alarm, at: float) -> bool:
        """A new type is stopped often on its tool: more is flagged there, which is no false alarm."""
        stopped = set(alarm.watches) == {FLAGGED}
        return stopped and 0 <= at - self._begins[NEW_TYPE] <= _DRIFT_TOLD_DAYS

    def _explains(self, one: _Drifting, alarm: Alarm, at: float) -> bool:
        """Whether an alarm is about a brightness: where only more is flagged, the credit is not the lamp's."""
        if set(alarm.watches) <= {FLAGGED, UNJUDGED}:
            return False
        if one.tool is None:  # it goes on, until a version has learned it
            return one.began <= at
        name = self._tools[one.tool].name
        ended = one.ended is not None and at > one.ended + _DRIFT_TOLD_DAYS
        return one.began <= at and not ended and any(stream.tool == name for stream in alarm.streams)

    def _champion(self) -> str:
        pointer = self._folder.pointer()
        assert pointer is not None  # the site serves one
        return pointer.champion

    # --- what comes from outside -------------------------------------------------------------------------------

    def _new_recipe(self, day: int) -> None:
        """The first wafer of a product that the bundle does not know."""
        tally, at = Tally(), day + 0.5
        for sent in self.line.lot(self._tools[-1], at, 1, recipe=NEW_RECIPE):
            tally.add(sent.truth, sent.answer["decision"])
            reasons = " ".join(map(str, sent.answer["reasons"]))
            if "unknown recipe" in reasons:
                self._note(
                    RECIPE, at, sent.at, "the answer itself (REVIEW, and no model looks)", reasons, tally
                )
                return
        self._note(RECIPE, at, None, "nobody", "every image was judged as if it were known", tally)

    def _new_type(self, day: int) -> None:
        """Images of a new type at its rate of the case study's volume; the good ones between them are left out."""
        tally, named = Tally(), []
        between = 30 / (IMAGES_A_MONTH * NEW_TYPE_RATE)
        rng = np.random.default_rng((self._seed, 1))
        at = float(day)
        for _ in range(_MOST_OF_NEW_TYPE):
            before, at = at, at + float(rng.exponential(between))
            (sent,) = self.line.lot(
                self._tools[-1], at, 1, hours=0.0, types=[self._library.new_type], points=1
            )
            tally.add(sent.truth, sent.answer["decision"])
            if int(24 * before) != int(24 * at):  # people look once an hour
                hour = np.ceil(24 * at) / 24
                self._wait_for_the_database()
                seen = {task["wafer_id"] for task in self._people.work(self.line.truth)
                        if task["truth"] == self._library.new_type}  # fmt: skip
                named += [float(hour)] * len(seen)
            if len(named) >= _NAMED:
                break
        first = named[0] if named else None
        third = named[_NAMED - 1] - day if len(named) >= _NAMED else None
        text = f"{self._library.new_type}, {tally.images - tally.escapes} of {tally.images} stopped"
        self._note(
            NEW_TYPE, day, first, "people, who name what was stopped" if named else "nobody", text, tally,
            rate=NEW_TYPE_RATE, named_three_times_after_days=third,
        )  # fmt: skip

    # --- versions ----------------------------------------------------------------------------------------------

    def _bad_candidate(self, day: int) -> None:
        """A candidate that passes everything: the gate."""
        version = self._folder.push(candidates.blind(self._bundle, self._scratch / "blind"))
        images = labelled_images(self._frozen())
        report = run_gate(self._folder.bundle(version.name), self._folder.bundle(self._champion()), images)
        self._folder.set_gate(version.name, report.to_dict())
        refused = ""
        try:
            self._folder.promote(version.name, by="rehearsal", reason="try")
        except InputError as error:
            refused = str(error)
        by = "the gate, before it decided anything" if refused else "nobody"
        text = f"{len(report.regressions)} defects that production finds are passed; it cannot be promoted"
        self._note(BLIND, day, day if refused else None, by, text, Tally(), reasons=report.reasons)

    def _relearn(self, relearning: Relearning, at: float) -> None:
        """Drift asks, a version is trained, scores in shadow, decides a share, and decides."""
        if self._relearned is None:
            asked = relearning.asked(self._database, self._now(at), self._now(self._begins[PROCESS]))
            if asked is None:
                return
            learned = relearning.learn(asked)
            days = min(SHADOW_DAYS, 0.2 * (self._size.days - at))
            self._relearned = _Relearned(learned, at, at + days, Tally())
            if learned.version is None:
                self._end_relearning(None, "nobody", learned.text)
        elif not self._relearned.canary:
            if at >= self._relearned.until:
                self._start_good_canary(self._relearned, at)
        else:
            self._look_at_good_canary(self._relearned, at)

    def _start_good_canary(self, relearned: _Relearned, at: float) -> None:
        name = str(relearned.learned.version)
        pointer = start_canary(
            self._folder, name, share=CANARY_SHARE, days=min(CANARY_DAYS, 0.4 * (self._size.days - at)),
            by="rehearsal", reason="it passed its gate and scored in shadow", promote=True, now=self._now(at),
            rollout=f"rehearsal-{self._seed}-retrained",
        )  # fmt: skip
        self._follow(pointer.seq)
        relearned.canary = True

    def _look_at_good_canary(self, relearned: _Relearned, at: float) -> None:
        name = str(relearned.learned.version)
        judged = look(self._database, self._folder, self._now(at))
        if judged is None or judged.action == "go on":
            return
        if judged.action == "ask a person":  # who sees that nothing speaks against it
            self._folder.promote(name, by="rehearsal", reason=judged.text)
        pointer = self._folder.pointer()
        assert pointer is not None
        self._follow(pointer.seq)
        if pointer.champion == name:
            by = "drift asked, the steps ran, shadow, canary, promoted"
            self._end_relearning(at, by, f"{name} decides; {judged.text}")
        else:
            self._end_relearning(None, "nobody", f"taken back: {judged.text}")

    def _end_relearning(self, promoted: float | None, by: str, text: str) -> None:
        one = self._relearned
        assert one is not None
        self._note(
            RETRAINING, one.began, promoted, by, text, one.tally, version=one.learned.version,
            learned=one.learned.text, seconds_of_the_wall_clock=round(one.learned.seconds, 1),
            steps=one.learned.summary.get("steps", []), images=one.learned.summary.get("images"),
        )  # fmt: skip
        self._relearned = self._relearning = None

    def _follow(self, seq: int) -> None:
        _, waiting = self._folder.wait(seq)
        if waiting:
            raise InputError(f"workers of the rehearsal do not follow: {waiting}")

    def _frozen(self) -> Path:
        """A frozen set with the defect types that are known."""
        root = self._scratch / "frozen"
        if root.is_dir():
            return root
        for name in (GOOD, *(self._library.known or [self._library.new_type])):
            (root / name).mkdir(parents=True)
            most = _FROZEN_NORMALS if name == GOOD else _FROZEN_OF_A_TYPE
            for index, image in enumerate(self._library.images[name][:most]):
                pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / name / f"{index:03d}.png")
        return root

    def _start_canary(self, day: int) -> None:
        """A candidate that flags far too much decides a share of wafers, without having been to the gate."""
        version = self._folder.push(candidates.nervous(self._bundle, self._scratch / "nervous"))
        days = min(CANARY_DAYS, 0.9 * (self._size.days - day))
        pointer = start_canary(
            self._folder, version.name, share=CANARY_SHARE, days=days, by="rehearsal", reason="try",
            now=self._now(day), rollout=f"rehearsal-{self._seed}",
        )  # fmt: skip
        self._follow(pointer.seq)
        self._canary = (version.name, Tally(), day)

    def _look_at_canary(self, at: float) -> None:
        assert self._canary is not None
        _, tally, began = self._canary
        judged = look(self._database, self._folder, self._now(at))
        if judged is None or judged.action == "go on":
            return
        by = "the canary's guardrail, by itself"
        if judged.action != "roll back":
            by = "the comparison at the canary's end"
            self._folder.rollback(by="rehearsal", reason=judged.text)
        pointer = self._folder.pointer()
        assert pointer is not None
        self._folder.wait(pointer.seq)
        self._note(NERVOUS, began, at, by, judged.text, tally, wafers=tally.images // IMAGES_A_WAFER)
        self._canary = None

    # --- the machine -------------------------------------------------------------------------------------------

    def _crash(self, at: float, place: int, wafers: int) -> None:
        """A worker is killed while images come in."""
        killed = self._site.worker_pids()[0]
        again = self.line.retries
        began = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        tally = Tally()
        for sent in self._inspect(at, place, wafers):
            tally.add(sent.truth, sent.answer["decision"])
        with Client(self._site.urls[0], "", timeout=5) as client:
            while not client.alive() and time.monotonic() - began < _WAIT_S:
                time.sleep(0.05)
            alive = client.alive()
        seconds = time.monotonic() - began
        text = f"started again; {self.line.retries - again} requests sent again, {self.line.failed} failed"
        self._note(
            CRASH, at, at + seconds / DAY_S if alive else None, "the supervisor" if alive else "nobody", text, tally,
            seconds_of_the_wall_clock=round(seconds, 2),
        )  # fmt: skip
