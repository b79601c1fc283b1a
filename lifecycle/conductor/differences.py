"""Where a shadow differs from production: the confusion of decisions, scores, routes and times, by layer and tool."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from service.store.database import Database
from service.store.tables import inspections, shadow_scores

_MOST_LISTED = 100
_LISTED = ("id", "wafer_id", "point", "decision", "other", "score", "other_score")


def differences(database: Database, version: str, since: float = 0.0) -> dict[str, Any]:
    """Compare a version's shadow scores with what production decided.

    Args:
        database: Where both lie.
        version: The shadow's name.
        since: Unix time from which on.

    Returns:
        `compared` and `inspected` counts and their `share`; `confusion` {production: {shadow: count}}; `by_layer` and
        `by_tool` {name: {compared, differ}}; median and 95 % range of the score difference; median times; `images`: up
        to 100 that differ, those first that production found and the shadow PASSes.
    """
    shadow = shadow_scores.c
    query = (
        sa.select(
            inspections.c.id, inspections.c.wafer_id, inspections.c.point, inspections.c.layer, inspections.c.tool,
            inspections.c.decision, inspections.c.score, inspections.c.route, inspections.c.inference_ms,
            shadow.decision.label("other"), shadow.score.label("other_score"), shadow.route.label("other_route"),
            shadow.inference_ms.label("other_ms"),
        )
        .join(inspections, inspections.c.id == shadow.inspection_id)
        .where(shadow.version == version, inspections.c.received_at >= since, inspections.c.version != version)
        .order_by(inspections.c.seq.desc())
    )  # fmt: skip
    total = sa.select(sa.func.count()).select_from(inspections).where(
        inspections.c.received_at >= since, inspections.c.version != version
    )  # fmt: skip
    confusion: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    places: dict[str, dict[str, dict[str, int]]] = {"by_layer": {}, "by_tool": {}}
    images: list[dict[str, Any]] = []
    changes, times, other_times, routes, compared = [], [], [], 0, 0
    with database.read() as connection:
        inspected = connection.execute(total).scalar_one()
        for row in connection.execute(query).mappings():
            compared += 1
            confusion[row["decision"]][row["other"]] += 1
            differs = row["decision"] != row["other"]
            routes += row["route"] != row["other_route"]
            for name, field in (("by_layer", "layer"), ("by_tool", "tool")):
                count = places[name].setdefault(row[field] or "unknown", {"compared": 0, "differ": 0})
                count["compared"] += 1
                count["differ"] += differs
            if row["score"] is not None and row["other_score"] is not None:
                changes.append(row["other_score"] - row["score"])
            times.append(row["inference_ms"])
            other_times.append(row["other_ms"])
            if differs:
                images.append({name: row[name] for name in _LISTED})
    images.sort(key=lambda one: (one["other"] != "PASS", one["decision"] != "REJECT"))
    return {
        "version": version,
        "compared": compared,
        "inspected": inspected,
        "share": compared / inspected if inspected else None,
        "confusion": {name: dict(row) for name, row in confusion.items()},
        "routes_differ": routes,
        **places,
        "score_change": _quantiles(changes),
        "ms": {"production": _quantiles(times), "shadow": _quantiles(other_times)},
        "images": images[:_MOST_LISTED],
    }


def _quantiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"p2.5": at(0.025), "median": at(0.5), "p97.5": at(0.975)}
