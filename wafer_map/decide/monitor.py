"""Counts of a lot while it runs: one image more, one wafer done, and the verdict at any moment."""

from __future__ import annotations

from typing import Any

from wafer_data.errors import DataError
from wafer_map.decide.evidence import Evidence
from wafer_map.decide.plan import LotPlan
from wafer_map.decide.verdict import Verdict, WaferCounts, decide_wafer, lot_verdict


class LotMonitor:
    """Follows one lot. Not thread-safe; a lot has one stream of images.

    Attributes:
        plan: what it decides by. finished: counts of the wafers that are done, in order.
    """

    def __init__(self, plan: LotPlan) -> None:
        self.plan = plan
        self.finished: list[WaferCounts] = []
        self._evidence = Evidence(plan)
        self._sites = self._defects = self._unjudged = self._killers = 0

    def add(self, defect: bool | None, *, killer: bool = False) -> None:
        """One more site of the running wafer.

        Args:
            defect: whether it has a defect; None if its image could not be judged.
            killer: whether its defect is of a killer bin.
        """
        if defect is None:
            self._unjudged += 1
        else:
            self._sites += 1
            self._defects += bool(defect)
        self._killers += bool(killer)

    @property
    def running(self) -> WaferCounts:
        """Counts of the wafer that is not finished."""
        return WaferCounts(self._sites, self._defects, self._unjudged, self._killers, finished=False)

    def end_wafer(self) -> Verdict:
        """The running wafer is done: its verdict."""
        counts = WaferCounts(self._sites, self._defects, self._unjudged, self._killers)
        self.finished.append(counts)
        self._evidence.add(counts.sites, counts.defects)
        self._sites = self._defects = self._unjudged = self._killers = 0
        return decide_wafer(self.plan, counts)

    def wafer(self) -> Verdict:
        """The verdict on the running wafer so far."""
        return decide_wafer(self.plan, self.running)

    def lot(self) -> Verdict:
        """The verdict on the lot so far, the running wafer included."""
        running = self.running if self._sites or self._unjudged else None
        wafers = [*self.finished, running] if running is not None else self.finished
        return lot_verdict(self.plan, self._evidence, wafers, running)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state, read back by :meth:`from_dict`."""
        counts = [[c.sites, c.defects, c.unjudged, c.killers] for c in self.finished]
        now = [self._sites, self._defects, self._unjudged, self._killers]
        return {"plan": self.plan.to_dict(), "finished": counts, "running": now}

    @classmethod
    def from_dict(cls, state: Any) -> LotMonitor:
        """The monitor whose :meth:`to_dict` this is.

        Raises:
            DataError: Where it is malformed.
        """
        try:
            monitor = cls(LotPlan.from_dict(state["plan"]))
            for sites, defects, unjudged, killers in state["finished"]:
                monitor.finished.append(WaferCounts(sites, defects, unjudged, killers))
                monitor._evidence.add(sites, defects)
            sites, defects, unjudged, killers = state["running"]
            now = WaferCounts(sites, defects, unjudged, killers, finished=False)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the state of a lot monitor is malformed ({error})") from error
        monitor._sites, monitor._defects = now.sites, now.defects
        monitor._unjudged, monitor._killers = now.unjudged, now.killers
        return monitor
