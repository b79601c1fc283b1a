"""`/drift`: what has drifted, since when, where the cause lies, and how each stream stands. And the metrics of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from lifecycle.conductor.drift_state import DriftState, last_look
from lifecycle.pages.render import page
from service.auth.guard import allow
from service.state import Service, service_of
from service.store.database import DatabaseDown

_FRESH_S = 60.0
_MOST_STREAMS = 300
_SHOWN = 200
_NO_LESS = -300.0


@allow("engineer", keys=False, people=True)
async def drift_page(request: Request) -> Response:
    """The last look at the streams of the version in use."""
    service = service_of(request)
    version = service.models.current().name
    state = await run_in_threadpool(last_look, service.database, version)
    rows = [one for one in state.findings if "tool" in one]
    streams = {(one["tool"], one["layer"], one["recipe"]) for one in rows}
    return page(
        "drift.html", request, version=version, state=state, rows=rows[:_SHOWN], more=len(rows) - _SHOWN,
        streams=len(streams),
    )  # fmt: skip


class DriftMetrics:
    """Figures of the last look, the same from every worker: Prometheus' `max` over workers is right.

    Args:
        service: The worker.
    """

    def __init__(self, service: Service) -> None:
        self._service, self._state, self._read = service, DriftState(None, [], []), -math.inf

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """As prometheus-client asks."""
        self._refresh()
        looked = GaugeMetricFamily(
            "waferroute_drift_looked_timestamp_seconds", "When drift was last looked for."
        )
        if self._state.at is not None:
            looked.add_metric([], self._state.at)
        yield looked
        alarm = GaugeMetricFamily(
            "waferroute_drift_alarm", "1 for what drifts, by cause.", labels=("cause", "where")
        )
        for one in self._state.alarms:
            alarm.add_metric([one["cause"], one["where"]], 1)
        yield alarm
        labels = ("tool", "layer", "recipe", "watch")
        effect = GaugeMetricFamily(
            "waferroute_drift_effect", "Size of each stream's change, in the watch's own unit.", labels=labels
        )
        surprise = GaugeMetricFamily(
            "waferroute_drift_log10_p", "How little chance explains it: log10 of the p-value.", labels=labels
        )
        for one in self._state.findings[: _MOST_STREAMS * 7]:
            if "tool" in one:
                names = [one["tool"], one["layer"], one["recipe"], one["watch"]]
                effect.add_metric(names, one["effect"])
                surprise.add_metric(names, math.log10(one["p"]) if one["p"] > 0 else _NO_LESS)
        yield effect
        yield surprise

    def _refresh(self) -> None:
        if time.monotonic() - self._read < _FRESH_S:
            return
        self._read = time.monotonic()
        try:
            self._state = last_look(self._service.database, self._service.models.current().name)
        except DatabaseDown:
            return  # what was known stays


def attach(service: Service) -> None:
    """Let this worker's `/metrics` show drift."""
    registry: Any = service.metrics.registry
    registry.register(DriftMetrics(service))


ROUTES: list[BaseRoute] = [Route("/drift", drift_page)]
PAGES = [("/drift", "Drift", "engineer")]
