"""`POST /api/v1/wafers/{wafer_id}/complete`: the tool is done with a wafer; may it go on?

The answer counts what is in the database and what this machine's journals hold that is not there yet, so it may be
asked right after the last image. Asked again it is computed again, from what people have said since; a row is only
added where something has changed.
"""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from service.auth.guard import allow
from service.auth.who import Who
from service.decide.wafer import Counted, Disposition, Site, count_sites, dispose, dispose_lot
from service.problem import Problem
from service.reading import checked_name
from service.state import Service, service_of
from service.store import audit
from service.store.tables import dispositions, inspections, nodes, wafers

_MOST_SITES = 1_000_000
_COLUMNS = ("id", "lot", "point", "layer", "decision", "verdict", "defect")


@allow("inspect")
async def complete(request: Request) -> Response:
    """RUN, HOLD or PENDING for a wafer. `sites`: how many were measured; `layer`: of one layer only."""
    service, who = service_of(request), request.state.who
    wafer_id = checked_name(request.path_params["wafer_id"])
    expected, layer = _asked(request)
    return JSONResponse(await run_in_threadpool(_complete, service, who, wafer_id, expected, layer))


def _asked(request: Request) -> tuple[int | None, str | None]:
    query = request.query_params
    unknown = sorted(set(query) - {"sites", "layer"})
    if unknown:
        raise Problem(400, f"unknown query parameter {unknown[0]!r}; known are sites, layer")
    sites, layer = query.get("sites"), query.get("layer")
    if sites is not None and not (
        sites.isascii() and sites.isdecimal() and 0 < int(sites[:9]) <= _MOST_SITES
    ):
        raise Problem(400, f"sites is the number of measured sites, from 1 to {_MOST_SITES}")
    return None if sites is None else int(sites[:9]), None if layer is None else checked_name(layer)


def _complete(
    service: Service, who: Who, wafer_id: str, expected: int | None, layer: str | None
) -> dict[str, Any]:
    found = _sites(service, wafer_id, layer)
    if not found:
        raise Problem(404, "no site of this wafer was inspected")
    if who.tools is not None and not {row.get("tool") for row in found.values()} <= who.tools:
        raise Problem(
            403, f"this key speaks for {', '.join(sorted(who.tools))}; others inspected this wafer too"
        )
    counted = count_sites(
        [Site(row["decision"], row["verdict"], row["defect"]) for row in found.values()], expected
    )
    answer = dispose(counted, service.lot_plan)
    lot = next((row["lot"] for row in reversed(found.values()) if row["lot"]), None)
    figures = {**counted.to_dict(), "layer": layer, "action": answer.action}
    with service.database.write() as connection:
        _keep(connection, who, {"wafer_id": wafer_id, "lot": lot}, answer, figures)
        of_lot = _dispose_lot(connection, service, who, lot, layer)
    return {
        "wafer_id": wafer_id, "lot": lot, "disposition": answer.disposition, "action": answer.action,
        "reasons": list(answer.reasons), **counted.to_dict(), "of_lot": of_lot,
    }  # fmt: skip


def _sites(
    service: Service, wafer_id: str, layer: str | None
) -> dict[tuple[str | None, str], dict[str, Any]]:
    """The last inspection of each place, by layer and point, oldest first."""
    columns = [inspections.c[name] for name in (*_COLUMNS, "tool")]
    with service.database.read() as connection:
        shipped = {row.name: int(row.shipped) for row in connection.execute(sa.select(nodes))}
    # First the journals, then the database: an entry that is carried over in between is in both, and counts once.
    journalled = service.journal.records_of(wafer_id, shipped)
    with service.database.read() as connection:
        query = sa.select(*columns).where(inspections.c.wafer_id == wafer_id).order_by(inspections.c.seq)
        rows = [dict(row) for row in connection.execute(query).mappings()]
    known = {row["id"] for row in rows}
    rows += [{**row, "verdict": None} for row in journalled if row["id"] not in known]
    found: dict[tuple[str | None, str], dict[str, Any]] = {}
    for row in rows:
        if layer is None or row["layer"] == layer:
            found.pop((row["layer"], row["point"]), None)
            found[row["layer"], row["point"]] = row
    return found


def _keep(
    connection: sa.Connection, who: Who, of: dict[str, Any], answer: Disposition, figures: dict[str, Any]
) -> None:
    """Add a row if it says something else than the last one."""
    if of["wafer_id"] is not None:  # of two at once the second one sees what the first one wrote
        connection.execute(
            sa.select(wafers.c.wafer_id).where(wafers.c.wafer_id == of["wafer_id"]).with_for_update()
        ).first()
    where = [dispositions.c[name].is_(None) if value is None else dispositions.c[name] == value
             for name, value in of.items()]  # fmt: skip
    last = (
        connection.execute(sa.select(dispositions).where(*where).order_by(dispositions.c.seq.desc()).limit(1))
        .mappings()
        .first()
    )
    told = {"disposition": answer.disposition, "reasons": list(answer.reasons), "figures": figures}
    if last is not None and all(last[name] == value for name, value in told.items()):
        return
    connection.execute(sa.insert(dispositions).values(**of, **told, actor=who.actor, at=time.time()))
    subject = f"lot:{of['lot']}" if of["wafer_id"] is None else f"wafer:{of['wafer_id']}"
    audit.record(connection, who.actor, "disposition.made", subject, {
        "disposition": answer.disposition, "action": answer.action, "reasons": list(answer.reasons),
    })  # fmt: skip


def _dispose_lot(
    connection: sa.Connection, service: Service, who: Who, lot: str | None, layer: str | None
) -> dict[str, Any] | None:
    """The plan's verdict on the lot so far, from its completed wafers in the order in which they were completed."""
    if lot is None or service.lot_plan is None:
        return None
    query = sa.select(dispositions.c.wafer_id, dispositions.c.figures).where(
        dispositions.c.lot == lot, dispositions.c.wafer_id.is_not(None), dispositions.c.figures.is_not(None)
    )
    latest: dict[str, Counted] = {}  # keeps the place of a wafer's first completion
    for row in connection.execute(query.order_by(dispositions.c.seq)):
        if row.figures["layer"] == layer:
            kept = {name: row.figures[name] for name in Counted.__dataclass_fields__}
            latest[row.wafer_id] = Counted(**kept)
    verdict = dispose_lot(list(latest.values()), service.lot_plan)
    said = Disposition("RUN" if verdict.action == "GO" else "HOLD", verdict.action.value, verdict.reasons)
    figures = {"wafers": len(latest), "layer": layer, "action": said.action}
    _keep(connection, who, {"wafer_id": None, "lot": lot}, said, figures)
    return {"wafers": len(latest), **verdict.to_dict()}


ROUTES: list[BaseRoute] = [Route("/api/v1/wafers/{wafer_id:path}/complete", complete, methods=["POST"])]
