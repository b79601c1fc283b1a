"""A retraining on its way: drift asks, a version is trained, scores in shadow, decides a share, and decides."""

from __future__ import annotations

from dataclasses import dataclass, field

from lifecycle.conductor.canary import look, start_canary
from lifecycle.rehearsal.line import Sent
from lifecycle.rehearsal.notices import Tally
from lifecycle.rehearsal.played_fab import PlayedFab
from lifecycle.rehearsal.relearn import Learned, Relearning
from lifecycle.rehearsal.timeline import CANARY_DAYS, CANARY_SHARE, PROCESS, RETRAINING, SHADOW_DAYS
from lifecycle.retraining.config import RetrainingConfig


@dataclass
class _Candidate:
    """began: day on which drift asked; until: of the shadow; canary: it decides a share."""

    learned: Learned
    began: float
    until: float
    tally: Tally = field(default_factory=Tally)
    canary: bool = False


class Renewal:
    """The one retraining of a rehearsal.

    Args:
        fab: Where it happens.
        config: Settings of `waferroute retrain`.
    """

    def __init__(self, fab: PlayedFab, config: RetrainingConfig) -> None:
        self._fab = fab
        self._relearning = Relearning(config, fab.site.data, fab.scratch, fab.frozen)
        self._candidate: _Candidate | None = None
        self._over = False

    def count(self, sent: Sent) -> None:
        """Count an image that is decided while the retraining is on its way."""
        if self._candidate is not None:
            self._candidate.tally.add(sent.truth, sent.answer["decision"])

    def step(self, at: float) -> None:
        """Do what is next at a time of the rehearsal, in days."""
        if self._over or at <= self._fab.begins[PROCESS]:
            return
        one = self._candidate
        if one is None:
            self._ask(at)
        elif one.canary:
            self._look_at_canary(one, at)
        elif at >= one.until:
            self._start_canary(one, at)

    def end(self) -> None:
        """A version that does not decide yet was noticed by nobody."""
        if self._candidate is not None:
            one = self._candidate
            text = f"{one.learned.version} does not decide everything yet"
            self._fab.note(RETRAINING, one.began, None, "nobody", text, one.tally)

    def _ask(self, at: float) -> None:
        fab = self._fab
        asked = self._relearning.asked(fab.database, fab.unix_time(at), fab.unix_time(fab.begins[PROCESS]))
        if asked is None:
            return
        learned = self._relearning.learn(asked)
        self._candidate = _Candidate(learned, at, at + min(SHADOW_DAYS, 0.2 * (fab.size.days - at)))
        if learned.version is None:
            self._finish(self._candidate, None, "nobody", learned.text)

    def _start_canary(self, one: _Candidate, at: float) -> None:
        fab = self._fab
        pointer = start_canary(
            fab.folder, str(one.learned.version), share=CANARY_SHARE,
            days=min(CANARY_DAYS, 0.4 * (fab.size.days - at)), by="rehearsal",
            reason="it passed its gate and scored in shadow", promote=True, now=fab.unix_time(at),
            rollout=f"rehearsal-{fab.seed}-retrained",
        )  # fmt: skip
        fab.follow(pointer.seq)
        one.canary = True

    def _look_at_canary(self, one: _Candidate, at: float) -> None:
        fab, name = self._fab, str(one.learned.version)
        judged = look(fab.database, fab.folder, fab.unix_time(at))
        if judged is None or judged.action == "go on":
            return
        if judged.action == "ask a person":  # who sees that nothing speaks against it
            fab.folder.promote(name, by="rehearsal", reason=judged.text)
        pointer = fab.folder.pointer()
        assert pointer is not None
        fab.follow(pointer.seq)
        if pointer.champion == name:
            by = "drift asked, the steps ran, shadow, canary, promoted"
            self._finish(one, at, by, f"{name} decides; {judged.text}")
        else:
            self._finish(one, None, "nobody", f"taken back: {judged.text}")

    def _finish(self, one: _Candidate, promoted: float | None, by: str, text: str) -> None:
        summary = one.learned.summary
        self._fab.note(
            RETRAINING, one.began, promoted, by, text, one.tally, version=one.learned.version,
            learned=one.learned.text, seconds_of_the_wall_clock=round(one.learned.seconds, 1),
            steps=summary.get("steps", []), images=summary.get("images"),
        )  # fmt: skip
        self._candidate, self._over = None, True
