"""What was inspected: `GET /api/v1/inspections/{id}`, its image and heat map, wafers and lots."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from service.auth.guard import allow
from service.problem import Problem
from service.reading import (
    MEDIA_TYPES,
    checked_name,
    find_inspection,
    heatmap_of,
    image_of,
    latest_id,
    point_of,
    public,
)
from service.review.wafer_picture import wafer_svg
from service.state import Service, service_of
from service.store.tables import dispositions, inspections, wafers

MOST_LISTED = 5000
# An inspection's pictures never change.
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


@allow("see")
async def inspection(request: Request) -> Response:
    """One inspection. For programs only: a person who is to judge blindly must not find the answer here."""
    service = service_of(request)
    kept = await run_in_threadpool(find_inspection, service, request.path_params["id"])
    return JSONResponse(public(kept))


@allow("see", people=True)
async def heatmap(request: Request) -> Response:
    """The heat map of one inspection."""
    return await run_in_threadpool(_heatmap, service_of(request), request.path_params["id"], _FOREVER)


@allow("see", people=True)
async def latest_heatmap(request: Request) -> Response:
    """The heat map of a place's last inspection, by the case study's address. A later inspection takes it over."""
    service = service_of(request)
    name = str(request.path_params["name"])
    wafer_id, dash, point = name.removesuffix(".png").rpartition("-")
    if not dash or not name.endswith(".png"):
        raise Problem(404, "heat maps are named WAFER-POINT.png")

    def find() -> Response:
        return _heatmap(service, latest_id(service, wafer_id, point), {"Cache-Control": "no-cache"})

    return await run_in_threadpool(find)


@allow("see", people=True)
async def image(request: Request) -> Response:
    """The image as it came."""
    service = service_of(request)

    def find() -> Response:
        kept = find_inspection(service, request.path_params["id"])
        data = image_of(service, kept)
        kind = MEDIA_TYPES.get(_format(service, kept.row), "application/octet-stream")
        headers = {**_FOREVER, "Content-Disposition": "inline"}
        return Response(data, media_type=kind, headers=headers)

    return await run_in_threadpool(find)


@allow("see")
async def wafer(request: Request) -> Response:
    """All that is known of a wafer."""
    return JSONResponse(
        await run_in_threadpool(_wafer, service_of(request), checked_name(request.path_params["wafer_id"]))
    )


@allow("see", people=True)
async def wafer_map(request: Request) -> Response:
    """A wafer's sites as a picture."""
    service, wafer_id = service_of(request), checked_name(request.path_params["wafer_id"])

    def find() -> str:
        _wafer(service, wafer_id)  # 404 where there is none
        return wafer_svg(service, wafer_id)

    return Response(await run_in_threadpool(find), media_type="image/svg+xml")


@allow("see")
async def lot(request: Request) -> Response:
    """The wafers of a lot and what was decided about them."""
    return JSONResponse(
        await run_in_threadpool(_lot, service_of(request), checked_name(request.path_params["lot"]))
    )


def _heatmap(service: Service, inspection_id: str, headers: dict[str, str]) -> Response:
    kept = find_inspection(service, inspection_id)
    return Response(heatmap_of(service, kept), media_type="image/png", headers=headers)


def _format(service: Service, row: dict[str, Any]) -> str:
    from service.inspecting import image_format

    if "image_format" in row:
        return str(row["image_format"])
    head = service.images.get(row["image_sha256"])
    return "none" if head is None else image_format(head)


def _wafer(service: Service, wafer_id: str) -> dict[str, Any]:
    columns = [
        inspections.c[name]
        for name in ("id", "point", "layer", "decision", "score", "verdict", "received_at")
    ]
    with service.database.read() as connection:
        row = connection.execute(sa.select(wafers).where(wafers.c.wafer_id == wafer_id)).mappings().first()
        if row is None:
            raise Problem(404, "this wafer was not inspected")
        sites = (
            connection.execute(
                sa.select(*columns)
                .where(inspections.c.wafer_id == wafer_id)
                .order_by(inspections.c.seq)
                .limit(MOST_LISTED)
            )
            .mappings()
            .all()
        )
        disposition = connection.execute(
            sa.select(dispositions.c.disposition)
            .where(dispositions.c.wafer_id == wafer_id)
            .order_by(dispositions.c.seq.desc())
            .limit(1)
        ).scalar()
    return {
        **_counts(dict(row)),
        "disposition": disposition,
        "inspections": [
            {**{k: v for k, v in site.items() if k != "point"}, "inspection_point": point_of(site["point"])}
            for site in sites
        ],
    }


def _lot(service: Service, lot_id: str) -> dict[str, Any]:
    with service.database.read() as connection:
        rows = (
            connection.execute(
                sa.select(wafers).where(wafers.c.lot == lot_id).order_by(wafers.c.wafer_id).limit(MOST_LISTED)
            )
            .mappings()
            .all()
        )
    if not rows:
        raise Problem(404, "no wafer of this lot was inspected")
    counted = [_counts(dict(row)) for row in rows]
    return {
        "lot": lot_id,
        "decision": max((one["decision"] for one in counted), key=_strictness),
        **{name: sum(one[name] for one in counted) for name in ("passed", "review", "rejected")},
        "wafers": counted,
    }


def _counts(row: dict[str, Any]) -> dict[str, Any]:
    decision = "REJECT" if row["rejected"] else "REVIEW" if row["review"] else "PASS"
    names = ("wafer_id", "lot", "passed", "review", "rejected", "first_at", "last_at")
    return {**{name: row[name] for name in names}, "decision": decision}


def _strictness(decision: str) -> int:
    return ("PASS", "REVIEW", "REJECT").index(decision)


ROUTES: list[BaseRoute] = [
    Route("/api/v1/inspections/{id}", inspection),
    Route("/api/v1/inspections/{id}/heatmap.png", heatmap),
    Route("/api/v1/inspections/{id}/image", image),
    Route("/heatmaps/{name:path}", latest_heatmap),
    Route("/api/v1/wafers/{wafer_id:path}/map.svg", wafer_map),
    Route("/api/v1/wafers/{wafer_id:path}", wafer),
    Route("/api/v1/lots/{lot:path}", lot),
]
