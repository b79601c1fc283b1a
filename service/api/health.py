"""`/healthz`: the process answers. `/readyz`: it can do its work; a load balancer sends images only then."""

from __future__ import annotations

import time

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from service.state import Service, service_of

_PROBE_EVERY_S = 2.0


async def healthz(request: Request) -> Response:
    """Whether the process is alive."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Whether an image sent now would be judged and kept. The database is not asked: the journal does without it."""
    service = service_of(request)
    problems = _problems(service)
    body = {
        "status": "ready" if not problems else "not ready",
        "problems": problems,
        "version": service.models.current().name,
        "notes": service.notes,
    }
    return JSONResponse(body, status_code=503 if problems else 200)


def _problems(service: Service) -> list[str]:
    problems = []
    if service.draining:
        problems.append("the worker is about to stop")
    if service.inspecting.disk_free() < service.settings.disk_reserve:
        problems.append("the disk is nearly full")
    if service.journal.waiting >= service.settings.most_waiting:
        problems.append("the journal does not keep up")
    if service.journal.broken is not None:
        problems.append(service.journal.broken)
    failed = _probe(service)
    if failed is not None:
        problems.append(failed)
    return problems


def _probe(service: Service) -> str | None:
    """Run both graphs on a grey square, at most once in two seconds."""
    at, found = service.probe
    if time.monotonic() - at < _PROBE_EVERY_S:
        return found
    inspector = service.models.current().inspector
    try:
        scores = inspector.raw_scores(np.full(inspector.preprocessing.shape, 0.5, dtype=np.float32))
        found = None if np.isfinite(scores).all() else f"a graph gives no usable score: {scores}"
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        found = f"a graph fails: {error}"
    service.probe = (time.monotonic(), found)
    return found


ROUTES: list[BaseRoute] = [Route("/healthz", healthz), Route("/readyz", readyz)]
