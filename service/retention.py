"""What is deleted when: images by the site's rules and the disk's budget. Rows, maps' figures and the trail stay.

    [retention]                        # in the rules file
    pass_share = 0.1                   # of PASS images, this share is kept for the longer time
    pass_days = 30                     # other PASS images
    days = 3650                        # REVIEW, REJECT, audited and reviewed images
    budget_gb = 200                    # of all images; beyond it the oldest PASS images go

What is not reviewed yet, what a person gave a verdict on, planted images and images of reported escapes are never
removed for the budget. If nothing else is left, the budget is exceeded and a note says so: evidence is not deleted to
make room.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import sqlalchemy as sa

from service.background import Job
from service.decide.rules import Retention
from service.state import Service
from service.store import audit
from service.store.tables import escapes, images, inspections, planted_images, review_tasks

DAY_S = 86_400.0
_AT_ONCE = 500
_EVERY_S = 600.0


def sweep(service: Service, now: float | None = None) -> dict[str, int]:
    """Remove what may go.

    Args:
        service: The worker.
        now: Seconds since 1970; default the clock's.

    Returns:
        Number of images removed by each rule.

    Raises:
        DatabaseDown, OSError: Stopped in between; what was removed is recorded.
    """
    now = time.time() if now is None else now
    rules = service.rules.retention
    removed = {"pass_days": 0, "days": 0, "budget": 0}
    for rule, days in (("pass_days", rules.pass_days), ("days", rules.days)):
        if days is None:
            continue
        while True:
            found = _expired(service, rule, now - days * DAY_S, rules)
            if not found:
                break
            removed[rule] += _remove(service, found, rule, now)
    budget = service.settings.image_budget or rules.budget_bytes
    if budget is not None:
        removed["budget"] = _fit(service, budget, now)
    return removed


def _expired(service: Service, rule: str, before: float, rules: Retention) -> list[str]:
    """Images that a rule lets go: all inspections of an image must be older."""
    evidence = _evidence()
    query = (
        sa.select(images.c.sha256)
        .where(images.c.removed_at.is_(None), images.c.stored_at < before)
        .where(images.c.sha256.not_in(_younger(before)), images.c.sha256.not_in(_protected()))
        .order_by(images.c.stored_at)
    )
    if rule == "pass_days":
        query = query.where(images.c.sha256.not_in(evidence))
    with service.database.read() as connection:
        found = []
        for sha256 in connection.execute(query).scalars():
            if rule == "days" or not _kept_longer(sha256, service.secret, rules.pass_share):
                found.append(sha256)
                if len(found) == _AT_ONCE:
                    break
    return found


def _fit(service: Service, budget: int, now: float) -> int:
    total_query = sa.select(sa.func.coalesce(sa.func.sum(images.c.bytes), 0)).where(
        images.c.removed_at.is_(None)
    )
    oldest = (
        sa.select(images.c.sha256, images.c.bytes)
        .where(images.c.removed_at.is_(None))
        .where(images.c.sha256.not_in(_evidence()), images.c.sha256.not_in(_protected()))
        .order_by(images.c.stored_at)
        .limit(_AT_ONCE)
    )
    removed = 0
    while True:
        with service.database.read() as connection:
            total = int(connection.execute(total_query).scalar_one())
            rows = connection.execute(oldest).all() if total > budget else []
        if total > budget and not rows:
            service.notes["retention"] = (
                f"the images take {total / 1e9:.2f} GB of {budget / 1e9:.2f} GB, and none may be removed: they are not "
                "PASS, or somebody has to see them; give them more room"
            )
            return removed
        chosen, over = [], total - budget
        for row in rows:
            if over <= 0:
                break
            chosen.append(row.sha256)
            over -= row.bytes
        if not chosen:
            service.notes.pop("retention", None)
            return removed
        removed += _remove(service, chosen, "budget", now)


def _remove(service: Service, found: list[str], rule: str, now: float) -> int:
    """Remove images, unless they came again since `now`."""
    with service.database.write() as connection:
        gone = list(
            connection.execute(
                sa.update(images)
                .where(images.c.sha256.in_(found), images.c.removed_at.is_(None), images.c.stored_at <= now)
                .values(removed_at=now, removed_by=rule)
                .returning(images.c.sha256)
            ).scalars()
        )
        # Heat maps go with their images.
        connection.execute(
            sa.update(inspections).where(inspections.c.image_sha256.in_(gone)).values(map=None)
        )
        digest = hashlib.sha256("".join(sorted(gone)).encode()).hexdigest()
        details: dict[str, Any] = {"rule": rule, "images": len(gone), "sha256": digest}
        audit.record(connection, f"node:{service.journal.node}", "images.removed", rule, details)
        # While the rows are locked: a worker that gets the same image now waits, and writes the file again.
        for sha256 in gone:
            service.images.remove(sha256)
    return len(gone)


def _evidence() -> sa.Select[Any]:
    """Images of inspections that are not plain PASS, or that somebody looks at."""
    return sa.select(inspections.c.image_sha256).where(
        sa.or_(
            inspections.c.decision != "PASS",
            inspections.c.verdict.is_not(None),
            inspections.c.audit_share.is_not(None),
        )
    )


def _protected() -> sa.Select[Any]:
    """Images that nothing removes: a task is open on them, they are planted, or an escape names them."""
    open_tasks = (
        sa.select(inspections.c.image_sha256)
        .join(review_tasks, review_tasks.c.inspection_id == inspections.c.id)
        .where(review_tasks.c.state == "open")
    )
    escaped = sa.select(inspections.c.image_sha256).join(escapes, escapes.c.inspection_id == inspections.c.id)
    union = sa.union(open_tasks, escaped, sa.select(planted_images.c.image_sha256)).subquery()
    return sa.select(union.c[0])


def _younger(before: float) -> sa.Select[Any]:
    return sa.select(inspections.c.image_sha256).where(inspections.c.received_at >= before)


def _kept_longer(sha256: str, secret: bytes, share: float) -> bool:
    digest = hashlib.sha256(b"retention\0" + secret + sha256.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


JOBS = [Job("retention", _EVERY_S, sweep)]
