"""What the engineer's pages count: agreement between inspectors, decisions that people overturned, time a task."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from service.decide.upheld import measure_upheld
from service.review.agreement import Kappa, cohen, fleiss
from service.review.further_looks import vigilance
from service.review.tasks import PLANTED, VERDICTS
from service.store.database import Database
from service.store.tables import dispositions, inspections, review_tasks, reviews, users

_MOST = 20_000


def agreement(database: Database) -> dict[str, Any]:
    """Kappas over images that several people looked at, each blind to the others.

    Returns:
        `pairs`: Cohen's kappa of each two people with at least 10 images in common; `all`: Fleiss' kappa; `seconds`:
        median time of a verdict; `known`: how known images were called; `upheld`: see `measure_upheld`.
    """
    taken_back = sa.select(reviews.c.supersedes).where(reviews.c.supersedes.is_not(None))
    query = (
        sa.select(reviews.c.inspection_id, reviews.c.user_id, reviews.c.verdict, reviews.c.seconds)
        .join(review_tasks, review_tasks.c.seq == reviews.c.task_seq)
        .where(
            reviews.c.verdict.in_(VERDICTS), reviews.c.seq.not_in(taken_back), review_tasks.c.kind != PLANTED
        )
        .order_by(reviews.c.seq.desc())
        .limit(_MOST)
    )
    by_image: dict[str, dict[int, str]] = defaultdict(dict)
    seconds: list[float] = []
    with database.read() as connection:
        for image, user, verdict, took in connection.execute(query):
            by_image[image].setdefault(user, verdict)
            if took is not None:
                seconds.append(took)
        people = connection.execute(sa.select(users.c.id, users.c.name)).all()
    names = {person.id: person.name or f"user {person.id}" for person in people}
    pairs: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    for said in by_image.values():
        for first, second in itertools.combinations(sorted(said), 2):
            pairs[first, second].append((said[first], said[second]))
    counts = [[list(said.values()).count(v) for v in VERDICTS] for said in by_image.values() if len(said) > 1]
    return {
        "pairs": [
            {"first": names.get(a, f"user {a}"), "second": names.get(b, f"user {b}"), **_plain(cohen(said))}
            for (a, b), said in sorted(pairs.items())
            if len(said) >= 10
        ],
        "all": _plain(fleiss(counts)),
        "seconds": sorted(seconds)[len(seconds) // 2] if seconds else None,
        "verdicts": len(seconds),
        "known": vigilance(database),
        "upheld": measure_upheld(database),
    }


def overturned(database: Database, limit: int = 200) -> list[dict[str, Any]]:
    """Decisions that people called wrong, newest first: PASS that is defective, REVIEW or REJECT that is good."""
    wrong = sa.or_(
        sa.and_(inspections.c.decision == "PASS", inspections.c.verdict == "defect"),
        sa.and_(inspections.c.decision != "PASS", inspections.c.verdict == "good"),
    )
    names = ("id", "wafer_id", "lot", "point", "tool", "layer", "decision", "score", "defect", "verdict",
             "verdict_defect", "version", "received_at")  # fmt: skip
    query = sa.select(*(inspections.c[name] for name in names)).where(wrong)
    with database.read() as connection:
        found = connection.execute(query.order_by(inspections.c.seq.desc()).limit(limit)).mappings().all()
    return [dict(row) for row in found]


def search(database: Database, terms: dict[str, str], limit: int = 200) -> list[dict[str, Any]]:
    """Inspections by exact wafer, lot, tool, layer, recipe, decision, verdict or version, newest first."""
    fields = ("wafer_id", "lot", "tool", "layer", "recipe", "decision", "verdict", "version", "point")
    names = ("id", "wafer_id", "lot", "point", "tool", "layer", "recipe", "decision", "score", "defect", "verdict",
             "version", "received_at")  # fmt: skip
    query = sa.select(*(inspections.c[name] for name in names))
    for field in fields:
        if terms.get(field):
            query = query.where(inspections.c[field] == terms[field])
    with database.read() as connection:
        found = connection.execute(query.order_by(inspections.c.seq.desc()).limit(limit)).mappings().all()
    return [dict(row) for row in found]


def _plain(kappa: Kappa) -> dict[str, Any]:
    return kappa._asdict()


def disposition(database: Database, wafer_id: str) -> dict[str, Any] | None:
    """What was last said of whether a wafer may go on (`disposition`, `reasons`, `at`); None: nobody has asked."""
    columns = [dispositions.c[name] for name in ("disposition", "reasons", "at")]
    query = (
        sa.select(*columns)
        .where(dispositions.c.wafer_id == wafer_id)
        .order_by(dispositions.c.seq.desc())
        .limit(1)
    )
    with database.read() as connection:
        found = connection.execute(query).mappings().first()
    return None if found is None else dict(found)
