"""`POST /api/v1/inspect`: one image, one decision."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from service.about import read_idempotency_key, read_image_ref
from service.auth.guard import allow
from service.limits import read_body
from service.problem import Problem
from service.state import service_of


@allow("inspect")
async def inspect(request: Request) -> Response:
    """The image is the body, its description in the query or in headers; see `docs/service.md`."""
    service = service_of(request)
    ref = read_image_ref(request.query_params, request.headers)
    key = read_idempotency_key(request.headers)
    # curl calls any body a urlencoded form; only a real form, with parts, cannot be an image.
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise Problem(415, "send the image's bytes as the body, not a form (curl: --data-binary @image.png)")
    body = await read_body(request, service.settings.most_body, service.settings.body_s)
    here = time.perf_counter()
    inspected = await service.inspecting.one(body, ref, request.state.who, key)
    if service.metrics is not None:
        service.metrics.answers.observe(time.perf_counter() - here)
    headers = {"Idempotency-Replayed": "true"} if inspected.repeated else None
    return Response(inspected.answer, media_type="application/json", headers=headers)


ROUTES: list[BaseRoute] = [Route("/api/v1/inspect", inspect, methods=["POST"])]
