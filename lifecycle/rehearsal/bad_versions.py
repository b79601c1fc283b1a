"""Two candidates that nobody should let decide: one meets the gate, the other one the canary's guardrail."""

from __future__ import annotations

from lifecycle.conductor.canary import look, start_canary
from lifecycle.gate.gate import run_gate
from lifecycle.gate.scored import labelled_images
from lifecycle.rehearsal import candidates
from lifecycle.rehearsal.line import IMAGES_A_WAFER, Sent
from lifecycle.rehearsal.notices import Tally
from lifecycle.rehearsal.played_fab import PlayedFab
from lifecycle.rehearsal.timeline import BLIND, CANARY_DAYS, CANARY_SHARE, NERVOUS
from wafer_data.errors import InputError


def offer_blind(fab: PlayedFab, day: int) -> None:
    """A candidate that passes everything: the gate."""
    version = fab.folder.push(candidates.blind(fab.bundle, fab.scratch / "blind"))
    images = labelled_images(fab.frozen())
    report = run_gate(fab.folder.bundle(version.name), fab.folder.bundle(fab.champion()), images)
    fab.folder.set_gate(version.name, report.to_dict())
    refused = False
    try:
        fab.folder.promote(version.name, by="rehearsal", reason="try")
    except InputError:
        refused = True
    by = "the gate, before it decided anything" if refused else "nobody"
    then = "it cannot be promoted" if refused else "it was promoted all the same"
    text = f"{len(report.regressions)} defects that production finds are passed; {then}"
    fab.note(BLIND, day, day if refused else None, by, text, Tally(), reasons=report.reasons)


class NervousCanary:
    """A candidate that flags far too much decides a share of wafers, without having been to the gate.

    Args:
        fab: Where it decides.
        day: On which it begins.

    Attributes:
        over: Whether it was taken back.
    """

    def __init__(self, fab: PlayedFab, day: int) -> None:
        self._fab, self._began, self._tally, self.over = fab, day, Tally(), False
        self._name = fab.folder.push(candidates.nervous(fab.bundle, fab.scratch / "nervous")).name
        days = min(CANARY_DAYS, 0.9 * (fab.size.days - day))
        pointer = start_canary(
            fab.folder, self._name, share=CANARY_SHARE, days=days, by="rehearsal", reason="try",
            now=fab.unix_time(day), rollout=f"rehearsal-{fab.seed}",
        )  # fmt: skip
        fab.follow(pointer.seq)

    def count(self, sent: Sent) -> None:
        """Count an image that it decided."""
        if not self.over and sent.answer["model_version"] == self._name:
            self._tally.add(sent.truth, sent.answer["decision"])

    def look(self, at: float) -> None:
        """Look at it, as the service does."""
        judged = look(self._fab.database, self._fab.folder, self._fab.unix_time(at))
        if judged is None or judged.action == "go on":
            return
        by = "the canary's guardrail, by itself"
        if judged.action != "roll back":
            by = "the comparison at the canary's end"
            self._fab.folder.rollback(by="rehearsal", reason=judged.text)
        pointer = self._fab.folder.pointer()
        assert pointer is not None
        self._fab.folder.wait(pointer.seq)
        wafers = self._tally.images // IMAGES_A_WAFER
        self._fab.note(NERVOUS, self._began, at, by, judged.text, self._tally, wafers=wafers)
        self.over = True

    def end(self) -> None:
        """One that was not taken back was noticed by nobody."""
        if not self.over:
            self._fab.note(
                NERVOUS, self._began, None, "nobody", f"{self._name} still decides its share", self._tally
            )
