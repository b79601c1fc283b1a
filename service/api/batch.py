"""`POST /api/v1/lots`: many images, one answer.

A form (multipart/form-data) with one file a site; the field's name is the inspection point, the description
of the lot stands in the query.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from service.about import read_idempotency_key, read_image_ref
from service.auth.guard import allow
from service.auth.who import Who
from service.problem import Problem
from service.settings import Settings
from service.state import Service, service_of

_AT_ONCE = 16


@allow("inspect")
async def lots(request: Request) -> Response:
    """Inspect all images of a form.

    Each gets the decision that it would have got alone; the answer comes when all are kept. An image that
    cannot be kept fails the answer, and the whole form may be sent again: what was kept is not inspected
    twice.
    """
    service = service_of(request)
    settings = service.settings
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem(
            415,
            "send the images as a form: one file a site, named by its inspection point (curl: -F 1=@a.png)",
        )
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise Problem(411, "say how long the form is (Content-Length)")
    if int(length) > settings.most_lot_bytes:
        raise Problem(413, f"the form has {length} bytes, at most {settings.most_lot_bytes} are taken")
    key = read_idempotency_key(request.headers)
    query = dict(request.query_params)
    if "inspection_point" in query:
        raise Problem(400, "inspection_point is the name of each file's field, not a query parameter")
    form = await _form(request, settings)
    who: Who = request.state.who
    try:
        files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != len(form.multi_items()) or not files:
            raise Problem(400, "the form must hold image files and nothing else")
        service.limits.admit(who, len(files) - 1)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int, point: str, file: UploadFile) -> dict[str, Any]:
            async with gate:
                return await _one(service, who, query, key, number, point, file)

        results = await asyncio.gather(
            *(one(number, point, file) for number, (point, file) in enumerate(files))
        )
    finally:
        await form.close()
    counts = {name: sum(r["decision"] == name for r in results) for name in ("PASS", "REVIEW", "REJECT")}
    decision = next(name for name in ("REJECT", "REVIEW", "PASS") if counts[name])
    return JSONResponse(
        {"lot": query.get("lot"), "wafer_id": query.get("wafer_id"), "decision": decision,
         "counts": counts, "results": results}
    )  # fmt: skip


async def _form(request: Request, settings: Settings) -> FormData:
    try:
        async with asyncio.timeout(10 * settings.body_s):
            return await request.form(
                max_files=settings.most_lot_images, max_fields=16, max_part_size=settings.most_body
            )
    except TimeoutError:
        raise Problem(408, f"the form was not here within {10 * settings.body_s:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "the client went away before the whole form was here") from None
    except OSError as error:
        raise Problem(507, f"the form cannot be held: {error.strerror}", retry_after=30) from error


async def _one(
    service: Service,
    who: Who,
    query: dict[str, str],
    key: str | None,
    number: int,
    point: str,
    file: UploadFile,
) -> dict[str, Any]:
    ref = read_image_ref({**query, "inspection_point": point}, {})
    if file.size is not None and file.size > service.settings.most_body:
        raise Problem(
            413, f"image {point} has {file.size} bytes, at most {service.settings.most_body} are taken"
        )
    own = None if key is None else f"{key}/{number}"
    answer: dict[str, Any] = json.loads(
        (await service.inspecting.one(await file.read(), ref, who, own)).answer
    )
    return answer


ROUTES: list[BaseRoute] = [Route("/api/v1/lots", lots, methods=["POST"])]
