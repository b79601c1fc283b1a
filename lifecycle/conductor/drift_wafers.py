"""Finished wafers become rows of a few numbers, once: what drift reads instead of millions of inspections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from lifecycle.conductor.drift_accepted import accepted_drift
from lifecycle.drift.first_wafers import MOST_REFERENCE_WAFERS, REFERENCE_LOTS, REFERENCE_WAFERS
from lifecycle.drift.wafer_summary import Stream, WaferSummary, unpack
from service.store.database import Database
from service.store.evidence import unpack_latent
from service.store.tables import drift_wafers, inspections

COMPLETE_AFTER_S = 600.0
"""A wafer of which no image was taken for so long is finished."""
_LOOK_BACK = (
    100_000  # inspections before the newest summarised one: more than any unfinished wafer lies behind
)
_AT_ONCE = 1000
"""Images that are held at a time, or those of one wafer: a worker keeps for good what its largest look took."""
_KEY = ("tool", "layer", "recipe", "wafer_id")


def taken_at() -> sa.ColumnElement[float]:
    """When an image was taken: as its tool says, but never after it arrived (a tool's clock may be ahead)."""
    c = inspections.c
    return sa.case((c.captured_at < c.received_at, c.captured_at), else_=c.received_at)


def summarise_wafers(database: Database, version: str, now: float) -> int:
    """Keep a row of each wafer that was finished since the last call.

    Args:
        database: Of the service.
        version: Whose inspections.
        now: Unix time.

    Returns:
        How many wafers were added or, after further images, done again.
    """
    c, known = inspections.c, drift_wafers.c
    with database.read() as connection:
        newest = connection.execute(
            sa.select(sa.func.max(known.last_entry)).where(known.version == version)
        ).scalar()
        names = [c.tool, c.layer, c.recipe, c.wafer_id]
        found = connection.execute(
            sa.select(*names, sa.func.max(c.seq).label("last"), sa.func.count().label("images"))
            .where(c.version == version, c.seq > (newest or 0) - _LOOK_BACK)
            .group_by(*names)
            .having(sa.func.max(taken_at()) < now - COMPLETE_AFTER_S)
        ).all()
        done = {
            tuple(row[:4]): row.last_entry
            for row in connection.execute(
                sa.select(known.tool, known.layer, known.recipe, known.wafer_id, known.last_entry).where(
                    known.version == version, known.last_entry > (newest or 0) - 2 * _LOOK_BACK
                )
            )
        }
    fresh = [row for row in found if done.get((*_stream(row), row.wafer_id), -1) < row.last]
    for wafers in _groups(fresh):
        _summarise(database, version, wafers, now)
    return len(fresh)


def _groups(wafers: Sequence[Any]) -> Iterator[list[str]]:
    """Ids of wafers, as many together as have `_AT_ONCE` images."""
    group: list[str] = []
    images = 0
    for row in wafers:
        if group and images + row.images > _AT_ONCE:
            yield group
            group, images = [], 0
        group.append(row.wafer_id)
        images += row.images
    if group:
        yield group


def wafers_of(
    database: Database, version: str, since: float
) -> dict[Stream, list[tuple[float, WaferSummary]]]:
    """Each stream's first wafers under a version and those since a time, with the time of their last image, in order.

    First wafers are those of the reference (`lifecycle.drift.first_wafers`) and the one that begins the lot after it,
    which says where it ends. Wafers from before a drift was accepted are left out.

    Args:
        database: Of the service.
        version: Name of the version.
        since: Unix time; wafers in between are not read.
    """
    c = drift_wafers.c
    found: dict[Stream, list[tuple[float, WaferSummary]]] = defaultdict(list)
    with database.read() as connection:
        past = [sa.not_(one.is_past()) for one in accepted_drift(connection, version)]
        known = sa.and_(c.version == version, *past)
        wanted = sa.union(_first(known), sa.select(c.seq).where(known, c.at > since))
        for row in connection.execute(sa.select(drift_wafers).where(c.seq.in_(wanted)).order_by(c.at, c.seq)):
            summary = unpack(row.figures, row.wafer_id, row.lot, row.images, row.flagged, row.unjudged)
            found[Stream(row.tool, row.layer, row.recipe)].append((row.at, summary))
    return found


def _first(known: sa.ColumnElement[bool]) -> sa.Select[tuple[int]]:
    """`seq` of each stream's first wafers among the known ones."""
    c = drift_wafers.c
    stream = (c.tool, c.layer, c.recipe)
    place = sa.func.row_number().over(partition_by=stream, order_by=(c.at, c.seq)).label("place")
    placed = sa.select(c.seq, *stream, sa.func.nullif(c.lot, "").label("lot"), place).where(known).subquery()
    # lots are looked at among the few wafers that may be first, not among all that were ever kept
    p = placed.c
    in_lot = sa.func.row_number().over(partition_by=(p.tool, p.layer, p.recipe, p.lot), order_by=p.place)
    begins = sa.case((sa.or_(p.lot.is_(None), in_lot == 1), 1), else_=0).label("begins")
    early = sa.select(placed, begins).where(p.place <= MOST_REFERENCE_WAFERS).subquery().c
    begun = sa.func.sum(early.begins).over(
        partition_by=(early.tool, early.layer, early.recipe), order_by=early.place, rows=(None, 0)
    )
    counted = sa.select(early.seq, early.place, (begun - early.begins).label("lots_before")).subquery().c
    first = sa.or_(counted.place <= REFERENCE_WAFERS, counted.lots_before <= REFERENCE_LOTS)
    return sa.select(counted.seq).where(first)


def _summarise(database: Database, version: str, wafers: list[str], now: float) -> None:
    c = inspections.c
    columns = (c.seq, c.tool, c.layer, c.recipe, c.wafer_id, c.lot, c.decision, c.route, c.score, c.latent,
               c.appearance, taken_at().label("at"))  # fmt: skip
    images: dict[tuple[Stream, str], list[Any]] = defaultdict(list)
    with database.read() as connection:
        query = sa.select(*columns).where(c.version == version, c.wafer_id.in_(set(wafers))).order_by(c.seq)
        for row in connection.execute(query):
            images[_stream(row), row.wafer_id].append(row)
    rows = [
        _row(version, stream, wafer, of)
        for (stream, wafer), of in images.items()
        if max(one.at for one in of) < now - COMPLETE_AFTER_S
    ]
    if not rows:  # an image of each came in between
        return
    insert = database.upsert(drift_wafers)
    keys = ("version", *_KEY)
    changed = {name: insert.excluded[name] for name in rows[0] if name not in keys}
    with database.write() as connection:
        connection.execute(insert.on_conflict_do_update(index_elements=list(keys), set_=changed), rows)


def _row(version: str, stream: Stream, wafer: str, images: list[Any]) -> dict[str, Any]:
    passed = [one for one in images if one.decision == "PASS" and one.route == "lowres"]
    latents = [unpack_latent(one.latent) for one in passed if one.latent is not None]
    summary = WaferSummary.of(
        wafer, images[-1].lot, np.array([one.score for one in passed], float),
        np.stack(latents) if latents else np.empty((0, 0)), [one.appearance for one in images],
        images=len(images), flagged=sum(one.decision != "PASS" for one in images),
        unjudged=sum(one.score is None for one in images),
    )  # fmt: skip
    return {
        "version": version, **stream._asdict(), "wafer_id": wafer, "lot": summary.lot,
        "at": max(one.at for one in images), "last_entry": images[-1].seq, "images": summary.images,
        "flagged": summary.flagged, "unjudged": summary.unjudged, "figures": summary.pack(),
    }  # fmt: skip


def _stream(row: Any) -> Stream:
    return Stream(row.tool or "unknown", row.layer or "unknown", row.recipe or "default")
