"""Passing on an image: it goes back to the queue at once, for others by its risk, for this person after all others."""

from __future__ import annotations

import time

import sqlalchemy as sa

from service.auth.who import Who
from service.problem import Problem
from service.store.database import Database
from service.store.tables import review_skips, review_tasks


def skip(database: Database, who: Who, seq: int, now: float | None = None) -> None:
    """Give a task back without a verdict. Again, or after its lease has run out, changes nothing.

    Raises:
        Problem: 404 there is no such task.
    """
    now = time.time() if now is None else now
    with database.write() as connection:
        query = sa.select(review_tasks.c.state, review_tasks.c.lease_user).where(review_tasks.c.seq == seq)
        task = connection.execute(query.with_for_update()).first()
        if task is None:
            raise Problem(404, "there is no such task")
        if task.state != "open" or task.lease_user != who.user_id:
            return
        connection.execute(
            sa.update(review_tasks).where(review_tasks.c.seq == seq).values(lease_user=None, lease_until=None)
        )
        connection.execute(sa.insert(review_skips).values(task_seq=seq, user_id=who.user_id, at=now))


def skipped_at(user_id: int | None) -> sa.ColumnElement[float]:
    """When this person last passed on the task of the row; 0: never."""
    last = (
        sa.select(sa.func.max(review_skips.c.at))
        .where(review_skips.c.task_seq == review_tasks.c.seq, review_skips.c.user_id == user_id)
        .scalar_subquery()
    )
    return sa.func.coalesce(last, 0.0)
