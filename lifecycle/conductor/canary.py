"""A running canary: looked at all the time by its guardrails, judged once at its planned end.

What counts is in the database: wafers by arm, verdicts of people on images that were drawn whatever their decision.
Harm rolls back at once and by itself. A promotion is asked for unless the rollout was started with `promote`.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from lifecycle.canary.rollout import Judgement, Rollout
from lifecycle.canary.wafers import WaferCounts
from lifecycle.conductor.drift_wafers import COMPLETE_AFTER_S, taken_at
from router.canary import CANARY, position
from service.background import Job
from service.state import Service
from service.store import audit
from service.store.database import Database
from service.store.tables import inspections, review_tasks, rollouts
from service.versions.folder import Pointer, VersionFolder
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json

_LOG = logging.getLogger(__name__)
ROLLOUT = "rollout.json"

FAILING_SHARE, FAILING_IMAGES, FAILING_S = 0.5, 20, 300.0
_EVERY_S = 30.0


def start_canary(
    folder: VersionFolder,
    name: str,
    *,
    share: float,
    days: float,
    by: str,
    reason: str,
    promote: bool = False,
    now: float | None = None,
    rollout: str | None = None,
) -> Pointer:
    """Let a version decide a share of wafers for some days.

    Args:
        folder: The versions.
        name: Of the candidate.
        share: Of wafers, in (0, 1).
        days: Until the one look at the end.
        by: Who starts it.
        reason: Why.
        promote: Whether it may be promoted at its end without a person.
        now: Unix time from which the days count; default the clock's.
        rollout: Salt of the hash that draws the wafers, never used before; default a random one.

    Raises:
        InputError: See `VersionFolder.start_canary`; or `days` is not positive.
    """
    if not 0 < days < 1000:
        raise InputError(f"a canary runs for some days, not {days}")
    rollout = rollout or uuid.uuid4().hex[:16]
    pointer = folder.start_canary(name, share, rollout, by=by, reason=reason)
    now = time.time() if now is None else now
    plan = {
        "rollout": rollout,
        "started": now,
        "ends": now + 86400 * days,
        "promote": promote,
        "share": share,
    }
    write_json(
        folder.path / ROLLOUT, {**plan, "candidate": pointer.canary.version if pointer.canary else name}
    )
    return pointer


def look(database: Database, folder: VersionFolder, now: float | None = None) -> Judgement | None:
    """Look at the running canary and act on it. None if there is none.

    Raises:
        DatabaseDown: The evidence cannot be read now.
        InputError: The plan cannot be read, or the pointer cannot be written.
    """
    now = time.time() if now is None else now
    pointer = folder.pointer()
    if pointer is None or pointer.canary is None:
        return None
    plan = read_json(folder.path / ROLLOUT)
    canary = pointer.canary
    rollout = Rollout(canary.share)
    with database.read() as connection:
        for wafer in wafers_of(connection, canary.rollout, now):
            rollout.add_wafer(wafer)
        rollout.add_audits(audited(connection, canary.rollout))
        failing = _failing(connection, canary.version, now)
    ended = now >= plan["ends"]
    judged = rollout.end() if ended else rollout.look()
    if failing is not None:
        judged = Judgement("roll back", failing, judged.misses, judged.comparison)
    state = "canary"
    if judged.action == "roll back":
        folder.rollback(by="guardrail", reason=judged.text)
        state = "rolled_back"
        _LOG.error("canary %s is taken back: %s", canary.version, judged.text)
    elif ended and judged.action == "promote" and plan["promote"]:
        state = _promote(folder, canary.version, judged.text)
    _keep(database, pointer, plan, judged, state, now)
    return judged


def _promote(folder: VersionFolder, name: str, reason: str) -> str:
    """Promote at the end, or take the canary back where that is not allowed (any more): its state then."""
    try:
        folder.promote(name, by="rollout", reason=reason)
    except InputError as error:
        folder.rollback(by="rollout", reason=f"it cannot be promoted: {error}")
        _LOG.error("canary %s is taken back: %s", name, error)
        return "rolled_back"
    return "promoted"


def wafers_of(connection: sa.Connection, rollout: str, now: float) -> list[WaferCounts]:
    """Wafers of a rollout of which no image has come for a while, in the order of their last images.

    A wafer that began before the rollout, or that holds images of no rollout, is left out.
    """
    c = inspections.c
    of = sa.and_(c.rollout_id == rollout)
    flagged = sa.case((c.decision != "PASS", 1), else_=0)
    overturned = sa.or_(
        sa.and_(c.decision == "PASS", c.verdict == "defect"),
        sa.and_(c.decision != "PASS", c.verdict == "good"),
    )
    query = (
        sa.select(
            c.wafer_id, c.arm, sa.func.count(), sa.func.sum(sa.case((c.decision == "REJECT", 1), else_=0)),
            sa.func.sum(flagged), sa.func.sum(sa.case((c.verdict.in_(("good", "defect")), 1), else_=0)),
            sa.func.sum(sa.case((overturned, 1), else_=0)),
        )
        .where(of)
        .group_by(c.wafer_id, c.arm)
        .having(sa.func.max(taken_at()) < now - COMPLETE_AFTER_S)
        .order_by(sa.func.max(c.seq))
    )  # fmt: skip
    return [WaferCounts(*row) for row in connection.execute(query)]


def audited(connection: sa.Connection, rollout: str) -> list[bool]:
    """Of the canary's true defects that were drawn whatever their decision: was each missed?

    PASS images are drawn for an audit with a known chance. Flagged ones are all reviewed, so they are thinned by a
    hash to the same chance: otherwise catches would outnumber misses by the sampling alone.
    """
    c = inspections.c
    query = (
        sa.select(c.id, c.decision, c.audit_share)
        .where(c.rollout_id == rollout, c.arm == CANARY, c.verdict == "defect")
        .order_by(c.seq)
    )
    rows = connection.execute(query).all()
    drawn = sa.select(sa.func.max(c.audit_share)).where(c.rollout_id == rollout, c.audit_share.is_not(None))
    chance = connection.execute(drawn).scalar()
    if chance is None:
        return []
    looked = sa.select(review_tasks.c.inspection_id).where(review_tasks.c.kind == "audit")
    looks = set(
        connection.execute(looked.where(review_tasks.c.inspection_id.in_([r.id for r in rows]))).scalars()
    )
    found = []
    for row in rows:
        if row.decision == "PASS" and row.id in looks:
            found.append(True)
        elif row.decision != "PASS" and position("audit", row.id) < chance:
            found.append(False)
    return found


def _failing(connection: sa.Connection, version: str, now: float) -> str | None:
    """Whether a version's graphs fail, in words."""
    c = inspections.c
    rows = connection.execute(
        sa.select(c.reasons).where(c.version == version, taken_at() > now - FAILING_S)
    ).scalars().all()  # fmt: skip
    failed = sum(any(str(reason).startswith("a model ") for reason in reasons) for reasons in rows)
    if len(rows) >= FAILING_IMAGES and failed >= FAILING_SHARE * len(rows):
        return f"its graphs failed on {failed} of its last {len(rows)} images"
    return None


def _keep(
    database: Database, pointer: Pointer, plan: dict[str, Any], judged: Judgement, state: str, now: float
) -> None:
    assert pointer.canary is not None
    said = {"at": now, "action": judged.action, "text": judged.text, "misses": asdict(judged.misses)}
    with database.write() as connection:
        where = rollouts.c.id == pointer.canary.rollout
        row = connection.execute(sa.select(rollouts.c.looks).where(where)).first()
        if row is None:
            connection.execute(
                sa.insert(rollouts).values(
                    id=pointer.canary.rollout, candidate=pointer.canary.version, champion=pointer.champion, state=state,
                    percent=100 * pointer.canary.share, settings=plan, looks=[said], created_at=plan["started"],
                )
            )  # fmt: skip
        else:
            last = row.looks[-1] if row.looks else {}
            same = {k: last.get(k) for k in ("action", "text")} == {k: said[k] for k in ("action", "text")}
            looks = row.looks if same else [*row.looks, said]
            ended = None if state == "canary" else now
            connection.execute(
                sa.update(rollouts).where(where).values(looks=looks, state=state, ended_at=ended)
            )
        if state != "canary":
            audit.record(
                connection, "guardrail", f"rollout.{state}", pointer.canary.version, {"why": judged.text}
            )


def _job(service: Service) -> None:
    try:
        look(service.database, VersionFolder(service.settings.models, service.settings.public_key))
    except InputError as error:
        _LOG.error("the canary cannot be judged: %s", error)


JOBS = [Job("canary", _EVERY_S, _job)]
ROUTES: list[Any] = []
