"""What reviewed PASS images say of the share of defects among all that pass.

A sample's image stands for 1 / share of PASS images, where `share` was its chance of being sampled (Horvitz &
Thompson, "A generalization of sampling without replacement from a finite universe", JASA 1952; the rate is Hájek's
ratio). Bounds are Clopper & Pearson's. With several shares each stratum gets its own at a confidence raised by
Bonferroni, and the rate, a mean of the strata's with weights that need not be known, lies between the lowest and the
highest of them: exact, and wide.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import sqlalchemy as sa

from router.exact_binomial import interval
from service.store.tables import escapes, inspections

CONFIDENCE = 0.95
_SAYS = (
    "The share of defective images among those that were answered PASS and could be sampled: not the share of defects "
    "that are missed, and not what a certificate bounds, which is measured on images with known labels. It takes the "
    "reviewers' word for the truth, sampled images as independent, and those not judged yet as like the others. PASS "
    "images that no rule samples say nothing and are said nothing about, but for those whose defect was reported from "
    "later in the line: they are the least number of misses, not their share."
)


def gather_evidence(connection: sa.Connection) -> dict[str, Any]:
    """Misses among sampled PASS images, for all versions together and for each.

    A sampled image whose defect was found later in the line is a miss, whatever was said of it here.

    Returns:
        `says` what it means; `confidence`; `all` and `by_version`, each see `_rate`; `passed`: all PASS images;
        `escapes`: see `_escaped`.
    """
    escaped = sa.select(escapes.c.inspection_id).where(escapes.c.inspection_id.is_not(None))
    verdict = sa.case((inspections.c.id.in_(escaped), "defect"), else_=inspections.c.verdict)
    sampled = (
        sa.select(inspections.c.version, inspections.c.audit_share, verdict.label("verdict"))
        .where(inspections.c.decision == "PASS", inspections.c.audit_share > 0)
        .subquery()
    )
    columns = (sampled.c.version, sampled.c.audit_share, sampled.c.verdict)
    query = sa.select(*columns, sa.func.count()).group_by(*columns)
    counts: dict[str, list[tuple[float, str | None, int]]] = defaultdict(list)
    for version, share, verdict, count in connection.execute(query):
        counts[version].append((float(share), verdict, int(count)))
    passed = sa.select(sa.func.count()).select_from(inspections).where(inspections.c.decision == "PASS")
    return {
        "says": _SAYS,
        "confidence": CONFIDENCE,
        "passed": connection.execute(passed).scalar_one(),
        "escapes": _escaped(connection),
        "all": _rate([one for rows in counts.values() for one in rows]),
        "by_version": {version: _rate(rows) for version, rows in sorted(counts.items())},
    }


def _escaped(connection: sa.Connection) -> dict[str, Any]:
    """Defects reported from later in the line.

    Returns:
        `reported`; `images`: PASS images that they were on, which is the least number of misses; `sampled`: of these,
        so many were in the sample and count in its rate; `by_version`: `images` by the version that passed them.
    """
    rows = connection.execute(
        sa.select(inspections.c.id, inspections.c.version, inspections.c.audit_share)
        .join(escapes, escapes.c.inspection_id == inspections.c.id)
        .where(inspections.c.decision == "PASS")
        .distinct()
    ).all()
    return {
        "reported": connection.execute(sa.select(sa.func.count()).select_from(escapes)).scalar_one(),
        "images": len(rows),
        "sampled": sum(row.audit_share is not None for row in rows),
        "by_version": dict(sorted(Counter(row.version for row in rows).items())),
    }


def _rate(rows: list[tuple[float, str | None, int]]) -> dict[str, Any]:
    """The rate of one group.

    Args:
        rows: (share, verdict, images).

    Returns:
        Counts; `stands_for`: PASS images that the judged ones stand for; `rate` with `low` and `high` (None, 0 and 1
        where nothing was judged); `high_if_unsure_is_defect`: the upper bound were each "unsure" a miss.
    """
    strata: dict[float, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
    for share, verdict, count in rows:
        strata[share][verdict] += count
    judged = {share: (said["defect"], said["defect"] + said["good"]) for share, said in strata.items()}
    doubted = {
        share: (said["defect"] + said["unsure"], said["defect"] + said["good"] + said["unsure"])
        for share, said in strata.items()
    }
    low, high = _bounds(judged)
    stands_for = sum(n / share for share, (_, n) in judged.items())
    missed = sum(k / share for share, (k, _) in judged.items())
    return {
        "sampled": sum(count for _, _, count in rows),
        "judged": sum(n for _, n in judged.values()),
        "misses": sum(k for k, _ in judged.values()),
        "unsure": sum(said["unsure"] for said in strata.values()),
        "waiting": sum(said[None] for said in strata.values()),
        "stands_for": stands_for,
        "rate": missed / stands_for if stands_for else None,
        "low": low,
        "high": high,
        "high_if_unsure_is_defect": _bounds(doubted)[1],
        "strata": [{"share": share, "judged": n, "misses": k} for share, (k, n) in sorted(judged.items())],
    }


def _bounds(strata: dict[float, tuple[int, int]]) -> tuple[float, float]:
    """Bounds of any weighted mean of the strata's rates. A stratum of which nothing was judged leaves (0, 1)."""
    if not strata:
        return 0.0, 1.0
    confidence = 1 - (1 - CONFIDENCE) / len(strata)
    each = [interval(k, n, confidence) for k, n in strata.values()]
    return min(low for low, _ in each), max(high for _, high in each)
