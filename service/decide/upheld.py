"""How often people agreed with decisions of a kind: what stands beside `confidence`, where there are reviews.

A PASS is upheld by the verdict "good", a REVIEW or REJECT by "defect"; "unsure" counts for neither. PASS images are
those that were sampled for an audit; all others were looked at because of the decision itself. Images that were
planted to test the inspectors do not count.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from router.exact_binomial import interval as exact_interval
from service.store.database import Database
from service.store.tables import inspections, review_tasks

_UPHOLDS = {"PASS": "good", "REVIEW": "defect", "REJECT": "defect"}
# With fewer the interval says nothing, and the figure would be read all the same.
FEWEST = 10


def measure_upheld(database: Database) -> dict[str, dict[str, Any]]:
    """Share, exact 95 % interval and count by the model's decision; only where there are enough verdicts.

    Raises:
        DatabaseDown: The database does not answer.
    """
    planted = sa.select(review_tasks.c.inspection_id).where(review_tasks.c.kind == "planted")
    query = (
        sa.select(inspections.c.model_decision, inspections.c.verdict, sa.func.count())
        .where(inspections.c.verdict.in_(("good", "defect")), inspections.c.id.not_in(planted))
        .group_by(inspections.c.model_decision, inspections.c.verdict)
    )
    counts: dict[str, dict[str, int]] = {}
    with database.read() as connection:
        for decision, verdict, count in connection.execute(query):
            counts.setdefault(decision, {})[verdict] = count
    found = {}
    for decision, by_verdict in counts.items():
        total, upheld = sum(by_verdict.values()), by_verdict.get(_UPHOLDS[decision], 0)
        if total >= FEWEST:
            low, high = exact_interval(upheld, total)
            found[decision] = {
                "share": upheld / total, "low": low, "high": high, "reviews": total
            }  # fmt: skip
    return found
