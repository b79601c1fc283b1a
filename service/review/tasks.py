"""The queue of the review: who gets which image next, for how long, and what becomes of a verdict.

A task is leased, so that no two people ever hold the same one. Verdicts are rows that are only added: a double click
adds one, an undo adds another that takes it back. A disagreement between two people goes to a senior inspector; until
then the image counts as not decided.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service.auth.who import Who
from service.problem import Problem
from service.review.skips import skipped_at
from service.store import audit
from service.store.database import Database
from service.store.tables import inspections, review_tasks, reviews

LEASE_S = 180.0
UNDO_S = 900.0
VERDICTS = ("good", "defect", "unsure")
REVIEW, AUDIT, DOUBLE, PLANTED, THIRD = "review", "audit", "double", "planted", "third"
MOST_AHEAD = 4


@dataclass(frozen=True)
class Leased:
    """A task that somebody holds. row: columns of `inspections`; seq: of the task; kind: never shown to the person."""

    seq: int
    kind: str
    lease_until: float
    row: dict[str, Any]

    @property
    def blind(self) -> bool:
        """Whether the page must not tell what the model thinks.

        A planted image looks as it would in the queue: an image that once was REVIEW is shown as one.
        """
        return self.kind in (AUDIT, DOUBLE, THIRD) or (
            self.kind == PLANTED and self.row["decision"] == "PASS"
        )


def lease_next(database: Database, who: Who, count: int = 1, now: float | None = None) -> list[Leased]:
    """Lease the riskiest open tasks that this person may do; those held already come first, those passed on last.

    Args:
        database: Where the queue lies.
        who: A person.
        count: How many, at most `MOST_AHEAD`; the page loads the pictures of the next ones ahead.
        now: Unix time; default the clock's.

    Raises:
        DatabaseDown: The database does not answer.
    """
    now = time.time() if now is None else now
    held = sa.and_(review_tasks.c.lease_user == who.user_id, review_tasks.c.lease_until > now)
    free = sa.or_(review_tasks.c.lease_until.is_(None), review_tasks.c.lease_until <= now)
    seen = sa.select(reviews.c.inspection_id).where(
        reviews.c.user_id == who.user_id, reviews.c.verdict != "undone"
    )
    taken_back = sa.select(reviews.c.supersedes).where(reviews.c.supersedes.is_not(None))
    seen = seen.where(reviews.c.seq.not_in(taken_back))
    mine = sa.or_(review_tasks.c.not_user.is_(None), review_tasks.c.not_user != who.user_id)
    allowed = [review_tasks.c.state == "open", mine, sa.or_(held, free)]
    # nobody sees an image twice, but for the planted ones, which are known images
    allowed.append(sa.or_(review_tasks.c.kind == PLANTED, review_tasks.c.inspection_id.not_in(seen)))
    if "adjudicate" not in who.may:
        allowed.append(review_tasks.c.kind != THIRD)
    query = (
        sa.select(review_tasks.c.seq, review_tasks.c.kind, inspections)
        .join(inspections, inspections.c.id == review_tasks.c.inspection_id)
        .where(*allowed)
        .order_by(
            sa.case((held, 0), else_=1),
            skipped_at(who.user_id),
            review_tasks.c.risk.desc(),
            review_tasks.c.created_at,
        )
        .limit(min(count, MOST_AHEAD))
        .with_for_update(of=review_tasks, skip_locked=True)
    )
    with database.write() as connection:
        found = connection.execute(query).all()
        names = inspections.c.keys()
        leased = [
            Leased(row[0], row[1], now + LEASE_S, dict(zip(names, row[2:], strict=True))) for row in found
        ]
        if leased:
            connection.execute(
                sa.update(review_tasks)
                .where(review_tasks.c.seq.in_([task.seq for task in leased]))
                .values(lease_user=who.user_id, lease_until=now + LEASE_S)
            )
    return leased


def held_task(database: Database, who: Who, seq: int, now: float | None = None) -> Leased:
    """A task that this person holds, or has just done.

    Raises:
        Problem: 404 there is none, 409 somebody else holds it or the lease has run out.
    """
    now = time.time() if now is None else now
    with database.read() as connection:
        task, row = _task(connection, seq)
    if task["lease_user"] != who.user_id:
        raise Problem(409, "somebody else has this image now: take the next one")
    if task["state"] == "open" and task["lease_until"] <= now:
        raise Problem(409, "this image was given back after a while: take the next one")
    return Leased(task["seq"], task["kind"], task["lease_until"], row)


@dataclass(frozen=True)
class Said:
    """A verdict.

    Attributes:
        verdict: one of `VERDICTS`.
        defect: its type, where one was named.
        seconds: from showing the image to the verdict.
        note: the inspector's own words.
        mask: PNG of what was drawn, or None.
    """

    verdict: str
    defect: str | None = None
    seconds: float | None = None
    note: str | None = None
    mask: bytes | None = None


def give_verdict(database: Database, who: Who, seq: int, said: Said, now: float | None = None) -> int:
    """Keep a verdict. The same one again, as from a double click, is kept once.

    Returns:
        Number of the review.

    Raises:
        Problem: 404 no such task, 409 it is not this person's, or is done with another verdict.
    """
    if said.verdict not in VERDICTS:
        raise Problem(422, f"a verdict is one of {', '.join(VERDICTS)}")
    now = time.time() if now is None else now
    with database.write() as connection:
        task, row = _task(connection, seq, lock=True)
        last = _last_review(connection, seq, who)
        if task["state"] != "open":
            if last is not None and (last["verdict"], last["defect"]) == (said.verdict, said.defect):
                return int(last["seq"])
            raise Problem(409, "this image has its verdict: undo it to give another")
        if task["lease_user"] != who.user_id:
            raise Problem(409, "somebody else has this image now: take the next one")
        if task["lease_until"] <= now:
            raise Problem(409, "this image was given back after a while: take the next one")
        number = connection.execute(
            sa.insert(reviews)
            .values(
                task_seq=seq, inspection_id=task["inspection_id"], user_id=who.user_id, verdict=said.verdict,
                defect=said.defect if said.verdict == "defect" else None, mask=said.mask, note=said.note,
                seconds=said.seconds, at=now,
            )
            .returning(reviews.c.seq)
        ).scalar_one()  # fmt: skip
        connection.execute(
            sa.update(review_tasks).where(review_tasks.c.seq == seq).values(state="done", done_at=now)
        )
        _settle(connection, database, row, now)
        audit.record(
            connection, who.actor, "review.given", f"inspection:{task['inspection_id']}",
            {"task": seq, "verdict": said.verdict, "defect": said.defect},
        )  # fmt: skip
    return int(number)


def undo(database: Database, who: Who, seq: int, now: float | None = None) -> None:
    """Take this person's last verdict on a task back; the task is this person's again.

    Raises:
        Problem: 404 there is none, 409 it is too old, or somebody has gone on from it.
    """
    now = time.time() if now is None else now
    with database.write() as connection:
        task, row = _task(connection, seq, lock=True)
        last = _last_review(connection, seq, who)
        if last is None or task["state"] != "done":
            raise Problem(404, "there is no verdict of yours to take back")
        if now - last["at"] > UNDO_S:
            raise Problem(409, "this verdict is too old to take back: ask an engineer for a second look")
        later = connection.execute(
            sa.select(sa.func.count())
            .select_from(reviews)
            .where(
                reviews.c.inspection_id == row["id"], reviews.c.seq > last["seq"], reviews.c.task_seq != seq
            )
        ).scalar_one()
        if later:
            raise Problem(409, "somebody has looked at this image since: the verdict stays")
        undone = {"verdict": "undone", "supersedes": last["seq"], "at": now}
        connection.execute(
            sa.insert(reviews).values(task_seq=seq, inspection_id=row["id"], user_id=who.user_id, **undone)
        )
        connection.execute(
            sa.update(review_tasks)
            .where(review_tasks.c.seq == seq)
            .values(state="open", done_at=None, lease_user=who.user_id, lease_until=now + LEASE_S)
        )
        # a second look that followed from it is no longer wanted
        connection.execute(
            sa.update(review_tasks)
            .where(
                review_tasks.c.inspection_id == row["id"], review_tasks.c.kind.in_((DOUBLE, THIRD)),
                review_tasks.c.state == "open", review_tasks.c.seq != seq,
            )
            .values(state="dropped")
        )  # fmt: skip
        _settle(connection, database, row, now)
        audit.record(connection, who.actor, "review.undone", f"inspection:{row['id']}", {"task": seq})


def renew(database: Database, who: Who, tasks: Sequence[int], now: float | None = None) -> int:
    """Hold tasks for longer while their page is open. Returns how many are still this person's."""
    now = time.time() if now is None else now
    with database.write() as connection:
        renewed = connection.execute(
            sa.update(review_tasks)
            .where(
                review_tasks.c.seq.in_(list(tasks)[:MOST_AHEAD]), review_tasks.c.state == "open",
                review_tasks.c.lease_user == who.user_id, review_tasks.c.lease_until > now,
            )
            .values(lease_until=now + LEASE_S)
        )  # fmt: skip
    return int(renewed.rowcount)


def open_task(
    connection: sa.Connection, database: Database, inspection_id: str, kind: str, risk: float, now: float,
    not_user: int | None = None, truth: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Put an image into the queue, or put it there again."""
    insert = database.upsert(review_tasks).values(
        inspection_id=inspection_id, kind=kind, risk=risk, created_at=now, not_user=not_user, truth=truth
    )
    again = {
        "state": "open", "risk": risk, "created_at": now, "not_user": not_user, "truth": truth,
        "lease_user": None, "lease_until": None, "done_at": None,
    }  # fmt: skip
    connection.execute(insert.on_conflict_do_update(index_elements=["inspection_id", "kind"], set_=again))


def verdicts_of(connection: sa.Connection, inspection_id: str) -> list[dict[str, Any]]:
    """The verdicts on an image that stand, with the kind of their tasks, oldest first; planted looks left out."""
    taken_back = sa.select(reviews.c.supersedes).where(reviews.c.supersedes.is_not(None))
    query = (
        sa.select(reviews, review_tasks.c.kind)
        .join(review_tasks, review_tasks.c.seq == reviews.c.task_seq)
        .where(
            reviews.c.inspection_id == inspection_id, reviews.c.verdict != "undone",
            review_tasks.c.kind != PLANTED, reviews.c.seq.not_in(taken_back),
        )
        .order_by(reviews.c.seq)
    )  # fmt: skip
    return [dict(row) for row in connection.execute(query).mappings()]


def _settle(connection: sa.Connection, database: Database, row: dict[str, Any], now: float) -> None:
    """What all verdicts together say; two that differ ask a senior inspector."""
    standing = verdicts_of(connection, row["id"])
    third = [one for one in standing if one["kind"] == THIRD]
    said = {one["verdict"] for one in standing}
    verdict = defect = None
    if third:
        verdict, defect = third[-1]["verdict"], third[-1]["defect"]
    elif len(said) == 1:
        verdict = said.pop()
        named = {one["defect"] for one in standing} - {None}
        defect = named.pop() if len(named) == 1 else None
    elif said:
        verdict = "unsure"
        open_task(connection, database, row["id"], THIRD, _risk(row), now)
    connection.execute(
        sa.update(inspections)
        .where(inspections.c.id == row["id"])
        .values(verdict=verdict, verdict_defect=defect)
    )


def _risk(row: dict[str, Any]) -> float:
    return 1e6 if row["score"] is None else float(row["score"] - (row["review_above"] or 0.0))


def _task(connection: sa.Connection, seq: int, lock: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    query = sa.select(review_tasks).where(review_tasks.c.seq == seq)
    task = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if task is None:
        raise Problem(404, "there is no such task")
    row = connection.execute(
        sa.select(inspections).where(inspections.c.id == task["inspection_id"])
    ).mappings().one()  # fmt: skip
    return dict(task), dict(row)


def _last_review(connection: sa.Connection, seq: int, who: Who) -> dict[str, Any] | None:
    """This person's verdict on a task, if it stands."""
    query = sa.select(reviews).where(reviews.c.task_seq == seq, reviews.c.user_id == who.user_id)
    last = connection.execute(query.order_by(reviews.c.seq.desc()).limit(1)).mappings().first()
    return None if last is None or last["verdict"] == "undone" else dict(last)


def queue_state(database: Database) -> dict[str, Any]:
    """How many tasks are open by what people may see of them, and how old the oldest is, seconds."""
    with database.read() as connection:
        count, oldest = connection.execute(
            sa.select(sa.func.count(), sa.func.min(review_tasks.c.created_at)).where(
                review_tasks.c.state == "open"
            )
        ).one()
    return {"open": count, "oldest_s": None if oldest is None else max(0.0, time.time() - oldest)}
