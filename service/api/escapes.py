"""`/api/v1/escapes`: defects that were found later in the line on what had passed here.

They join the evidence (`service.feedback_evidence`), keep their images from retention, and keep images of their places
out of what is trained on as good.
"""

from __future__ import annotations

import json
import time
from typing import Any

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from service.about import LONGEST_NAME, read_idempotency_key
from service.auth.guard import allow
from service.auth.who import Who
from service.limits import read_body
from service.problem import Problem
from service.reading import checked_name, point_of
from service.state import service_of
from service.store import audit
from service.store.database import Database
from service.store.tables import escapes, inspections

MOST_LISTED = 1000
_MOST_BODY, _LONGEST_NOTE = 16_384, 2000
_TEXTS = ("inspection_id", "wafer_id", "found_at", "defect", "note")


@allow("escape", people=True)
async def report(request: Request) -> Response:
    """Keep an escape. The same key, or the same words of the same client again, is one escape."""
    service = service_of(request)
    key = read_idempotency_key(request.headers)
    said = _said(await read_body(request, _MOST_BODY, service.settings.body_s))
    kept, new = await run_in_threadpool(_keep, service.database, request.state.who, said, key)
    headers = None if new else {"Idempotency-Replayed": "true"}
    return JSONResponse(kept, status_code=201 if new else 200, headers=headers)


@allow("see")
async def reported(request: Request) -> Response:
    """Escapes, newest first; `wafer_id`: of one wafer."""
    wafer_id = request.query_params.get("wafer_id")
    wanted = None if wafer_id is None else checked_name(wafer_id)
    return JSONResponse({"escapes": await run_in_threadpool(_listed, service_of(request).database, wanted)})


def _said(body: bytes) -> dict[str, str | None]:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON") from None
    if not isinstance(read, dict):
        raise Problem(400, "the body is an object")
    unknown = sorted(set(read) - {*_TEXTS, "inspection_point"})
    if unknown:
        raise Problem(400, f"unknown key {unknown[0]!r}; known are inspection_point, {', '.join(_TEXTS)}")
    found: dict[str, str | None] = {}
    for name in _TEXTS:
        found[name] = _text(name, read.get(name), _LONGEST_NOTE if name == "note" else LONGEST_NAME)
    point = read.get("inspection_point")
    if isinstance(point, int) and not isinstance(point, bool) and 0 <= point < 1e15:
        point = str(point)
    found["point"] = _text("inspection_point", point, LONGEST_NAME)
    if found["inspection_id"] is None and found["wafer_id"] is None:
        raise Problem(400, "say which inspection (inspection_id) or which wafer (wafer_id, inspection_point)")
    return found


def _text(name: str, value: Any, most: int) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > most or not value.replace("\n", " ").isprintable():
        raise Problem(400, f"{name} is a text of at most {most} printable characters")
    return value


def _keep(
    database: Database, who: Who, said: dict[str, str | None], key: str | None
) -> tuple[dict[str, Any], bool]:
    scoped = None if key is None else f"{who.name}:{key}"
    with database.write() as connection:
        inspection = _inspection(connection, said)
        values = {
            "inspection_id": None if inspection is None else inspection["id"],
            "wafer_id": said["wafer_id"] if inspection is None else inspection["wafer_id"],
            "point": said["point"] if inspection is None else inspection["point"],
            **{name: said[name] for name in ("found_at", "defect", "note")},
        }
        earlier = _earlier(connection, who, values, scoped)
        if earlier is not None:
            if any(earlier[name] != value for name, value in values.items()):
                raise Problem(
                    422, "this Idempotency-Key was used for another escape: make a new one for each"
                )
            return _told(earlier, inspection), False
        row = {**values, "actor": who.actor, "at": time.time(), "idempotency_key": scoped}
        made = connection.execute(
            sa.insert(escapes).values(row).returning(escapes.c.seq)
        ).scalar_one()  # fmt: skip
        audit.record(connection, who.actor, "escape.reported", f"escape:{made}", {
            name: values[name] for name in ("inspection_id", "wafer_id", "point", "found_at", "defect")
        })  # fmt: skip
    return _told({**row, "seq": made}, inspection), True


def _inspection(connection: sa.Connection, said: dict[str, str | None]) -> dict[str, Any] | None:
    """The inspection that the escape is of: the named one, or the last one of its place; None: of the whole wafer."""
    columns = [inspections.c[name] for name in ("id", "wafer_id", "point", "decision", "version")]
    query = sa.select(*columns).order_by(inspections.c.seq.desc()).limit(1)
    if said["inspection_id"] is not None:
        row = connection.execute(query.where(inspections.c.id == said["inspection_id"])).mappings().first()
        if row is None:
            raise Problem(404, "there is no inspection of this id")
        for name in ("wafer_id", "point"):
            if said[name] is not None and said[name] != row[name]:
                raise Problem(400, f"this inspection is of {name} {row[name]!r}, not {said[name]!r}")
        return dict(row)
    of_wafer = query.where(inspections.c.wafer_id == said["wafer_id"])
    if connection.execute(of_wafer).first() is None:
        raise Problem(404, "this wafer was not inspected")
    if said["point"] is None:
        return None
    row = connection.execute(of_wafer.where(inspections.c.point == said["point"])).mappings().first()
    if row is None:
        raise Problem(404, "this place of the wafer was not inspected")
    return dict(row)


def _earlier(
    connection: sa.Connection, who: Who, values: dict[str, Any], scoped: str | None
) -> dict[str, Any] | None:
    query = sa.select(escapes).limit(1)
    if scoped is not None:
        query = query.where(escapes.c.idempotency_key == scoped)
    else:
        for name, value in {**values, "actor": who.actor}.items():
            column = escapes.c[name]
            query = query.where(column.is_(None) if value is None else column == value)
    found = connection.execute(query).mappings().first()
    return None if found is None else dict(found)


def _told(row: dict[str, Any], inspection: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "escape": row["seq"], "at": row["at"],
        **{name: row[name] for name in _TEXTS},
        "inspection_point": None if row["point"] is None else point_of(row["point"]),
        "decision": None if inspection is None else inspection["decision"],
        "model_version": None if inspection is None else inspection["version"],
    }  # fmt: skip


def _listed(database: Database, wafer_id: str | None) -> list[dict[str, Any]]:
    query = (
        sa.select(escapes, inspections.c.decision, inspections.c.version)
        .join(inspections, inspections.c.id == escapes.c.inspection_id, isouter=True)
        .order_by(escapes.c.seq.desc())
        .limit(MOST_LISTED)
    )
    if wafer_id is not None:
        query = query.where(escapes.c.wafer_id == wafer_id)
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    return [_told(row, None if row["inspection_id"] is None else row) for row in rows]


ROUTES: list[BaseRoute] = [
    Route("/api/v1/escapes", report, methods=["POST"]),
    Route("/api/v1/escapes", reported),
]
