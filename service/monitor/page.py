"""`/monitor`: how this worker stands, for people, without Grafana: what `/metrics` says, and the last hours."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from service.auth.guard import allow
from service.review.pages import page
from service.review.tasks import queue_state
from service.state import Service, service_of
from service.store.tables import inspections

HOURS = 24
_WIDTH, _HEIGHT = 480, 120


@allow("see", keys=False, people=True)
async def monitor(request: Request) -> Response:
    """The page."""
    found = await run_in_threadpool(_state, service_of(request))
    return page("monitor.html", request, **found)


def _state(service: Service) -> dict[str, Any]:
    now = time.time()
    since = now - HOURS * 3600
    hour = sa.cast((inspections.c.received_at - since) / 3600, sa.Integer)
    with service.database.read() as connection:
        counts = connection.execute(
            sa.select(hour, inspections.c.decision, sa.func.count())
            .where(inspections.c.received_at >= since)
            .group_by(hour, inspections.c.decision)
        ).all()
        times = sorted(
            connection.execute(
                sa.select(inspections.c.inference_ms).order_by(inspections.c.seq.desc()).limit(5000)
            ).scalars()
        )
        scores = list(
            connection.execute(
                sa.select(inspections.c.score).where(inspections.c.score.is_not(None))
                .order_by(inspections.c.seq.desc()).limit(5000)
            ).scalars()
        )  # fmt: skip
    by_hour: dict[str, list[int]] = {name: [0] * HOURS for name in ("PASS", "REVIEW", "REJECT")}
    for place, decision, count in counts:
        by_hour[decision][min(max(int(place), 0), HOURS - 1)] += count
    serving = service.models.serving()
    return {
        "hours": by_hour,
        "bars": _bars(by_hour),
        "quantiles": {q: times[min(len(times) - 1, int(q / 100 * len(times)))] for q in (50, 95, 99)}
        if times
        else {},
        "histogram": _histogram(scores),
        "queue": queue_state(service.database),
        "version": serving.champion.name,
        "canary": None if serving.canary is None else f"{serving.canary.name}, {serving.share:.0%} of wafers",
        "warm": sorted(service.models.warm()),
        "notes": {key: value for key, value in service.notes.items() if isinstance(value, str)},
        "waiting": service.behind(),
        "free": service.inspecting.disk_free(),
        "upheld": service.upheld,
        "drift": service.metrics.drift(),
    }


def _bars(by_hour: dict[str, list[int]]) -> list[dict[str, float | str]]:
    """Stacked bars, REVIEW and REJECT drawn at their own scale above: next to PASS they would not be seen."""
    most = max([1, *(a + b for a, b in zip(by_hour["REVIEW"], by_hour["REJECT"], strict=True))])
    step, found = _WIDTH / HOURS, []
    for hour in range(HOURS):
        y = float(_HEIGHT)
        for name in ("REVIEW", "REJECT"):
            height = by_hour[name][hour] / most * (_HEIGHT - 10)
            y -= height
            found.append({"x": hour * step + 1, "y": y, "w": step - 2, "h": height, "kind": name})
    return found


def _histogram(scores: list[float]) -> list[dict[str, float]]:
    """40 bars of the scores from -4 to 12 robust standard deviations; what lies beyond counts at the ends."""
    bars = 40
    counts = [0] * bars
    for score in scores:
        counts[min(bars - 1, max(0, int((score + 4.0) / 16.0 * bars)))] += 1
    most, step = max([1, *counts]), _WIDTH / bars
    return [
        {
            "x": i * step,
            "y": _HEIGHT - n / most * (_HEIGHT - 10),
            "w": step - 1,
            "h": n / most * (_HEIGHT - 10),
        }
        for i, n in enumerate(counts)
    ]


ROUTES: list[BaseRoute] = [Route("/monitor", monitor)]
