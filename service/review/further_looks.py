"""Looks that measure the inspectors and not the images: blind second looks, and known images among the others.

Both are drawn by a hash of the image and the installation's secret, so that nobody can tell which images they will
be. A worker does this as a job, beside the answering.
"""

from __future__ import annotations

import hashlib
import time

import sqlalchemy as sa

from service.background import Job
from service.problem import Problem
from service.review.tasks import AUDIT, DOUBLE, PLANTED, REVIEW, open_task
from service.state import Service
from service.store import audit
from service.store.database import Database
from service.store.tables import inspections, planted_images, review_tasks, reviews

DOUBLE_SHARE = 0.08
PLANTED_SHARE = 0.015
_EVERY_S = 5.0
_LOOK_BACK_S = 3600.0


def add_further_looks(service: Service, now: float | None = None) -> int:
    """Queue second looks at a share of what was just reviewed, and known images beside. Returns how many."""
    now = time.time() if now is None else now
    added = 0
    with service.database.write() as connection:
        done = connection.execute(
            sa.select(review_tasks.c.seq, review_tasks.c.inspection_id, review_tasks.c.risk, review_tasks.c.lease_user)
            .where(
                review_tasks.c.state == "done", review_tasks.c.kind.in_((REVIEW, AUDIT)),
                review_tasks.c.done_at > now - _LOOK_BACK_S,
            )
        ).all()  # fmt: skip
        second = set(
            connection.execute(
                sa.select(review_tasks.c.inspection_id).where(
                    review_tasks.c.kind == DOUBLE,
                    review_tasks.c.inspection_id.in_([d.inspection_id for d in done]),
                )
            ).scalars()
        )
        for task in done:
            if (
                _drawn(service.secret, "double", task.inspection_id) < DOUBLE_SHARE
                and task.inspection_id not in second
            ):
                open_task(
                    connection,
                    service.database,
                    task.inspection_id,
                    DOUBLE,
                    task.risk,
                    now,
                    not_user=task.lease_user,
                )
                added += 1
        due = sum(_drawn(service.secret, "planted", str(task.seq)) < PLANTED_SHARE for task in done)
        added += _plant(connection, service.database, service.secret, due, now)
    return added


def _plant(connection: sa.Connection, database: Database, secret: bytes, due: int, now: float) -> int:
    """Bring the known images of the last hour to `due`."""
    recent = connection.execute(
        sa.select(sa.func.count()).select_from(review_tasks)
        .where(review_tasks.c.kind == PLANTED, review_tasks.c.created_at > now - _LOOK_BACK_S)
    ).scalar_one()  # fmt: skip
    added = 0
    for _ in range(max(0, due - recent)):
        busy = sa.select(review_tasks.c.inspection_id).where(
            review_tasks.c.kind == PLANTED, review_tasks.c.state == "open"
        )
        row = connection.execute(
            sa.select(inspections.c.id, planted_images.c.truth, planted_images.c.defect)
            .join(planted_images, planted_images.c.image_sha256 == inspections.c.image_sha256)
            .where(inspections.c.id.not_in(busy))
            .order_by(sa.func.coalesce(_last_shown(), 0.0))
            .limit(1)
        ).first()
        if row is None:
            return added
        # among the others, neither first nor last
        waiting = sa.select(review_tasks.c.risk).where(review_tasks.c.state == "open")
        risks = connection.execute(waiting.order_by(review_tasks.c.risk).limit(500)).scalars().all()
        place = int(_drawn(secret, "place", f"{row.id}{now}") * len(risks))
        truth = {"verdict": row.truth, "defect": row.defect}
        open_task(connection, database, row.id, PLANTED, risks[place] if risks else 0.0, now, truth=truth)
        added += 1
    return added


def _last_shown() -> sa.ScalarSelect[float]:
    return (
        sa.select(sa.func.max(review_tasks.c.created_at))
        .where(review_tasks.c.inspection_id == inspections.c.id, review_tasks.c.kind == PLANTED)
        .scalar_subquery()
    )


def plant_image(database: Database, inspection_id: str, truth: str, defect: str | None, actor: str) -> None:
    """Make an inspected image a known one.

    Raises:
        Problem: 404 no such inspection, 409 nobody has settled what it shows, 422 no such truth.
    """
    if truth not in ("good", "defect"):
        raise Problem(422, "a known image is good or defect")
    with database.write() as connection:
        row = connection.execute(
            sa.select(inspections.c.image_sha256, inspections.c.verdict).where(
                inspections.c.id == inspection_id
            )
        ).first()
        if row is None:
            raise Problem(404, "there is no inspection of this id")
        if row.verdict not in (None, truth):
            raise Problem(409, f"people called this image {row.verdict}: it is not known to be {truth}")
        insert = database.upsert(planted_images).values(
            image_sha256=row.image_sha256, truth=truth, defect=defect, added_by=actor, at=time.time()
        )
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["image_sha256"], set_={"truth": truth, "defect": defect}
            )
        )
        audit.record(connection, actor, "image.planted", f"inspection:{inspection_id}", {"truth": truth})


def vigilance(database: Database) -> dict[str, int]:
    """How often known images were called what they are: shown, right, and by kind of error."""
    taken_back = sa.select(reviews.c.supersedes).where(reviews.c.supersedes.is_not(None))
    query = (
        sa.select(reviews.c.verdict, review_tasks.c.truth)
        .join(review_tasks, review_tasks.c.seq == reviews.c.task_seq)
        .where(
            review_tasks.c.kind == PLANTED,
            reviews.c.verdict.in_(("good", "defect")),
            reviews.c.seq.not_in(taken_back),
        )
    )
    found = {"shown": 0, "right": 0, "defects": 0, "missed": 0, "goods": 0, "false_alarms": 0}
    with database.read() as connection:
        for verdict, truth in connection.execute(query):
            is_defect = truth["verdict"] == "defect"
            found["shown"] += 1
            found["right"] += verdict == truth["verdict"]
            found["defects" if is_defect else "goods"] += 1
            found["missed"] += is_defect and verdict == "good"
            found["false_alarms"] += not is_defect and verdict == "defect"
    return found


def _drawn(secret: bytes, purpose: str, key: str) -> float:
    digest = hashlib.sha256(purpose.encode() + b"\0" + secret + key.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _job(service: Service) -> None:
    add_further_looks(service)


JOBS = [Job("further looks", _EVERY_S, _job)]
