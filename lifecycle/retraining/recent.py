"""What the line sends today, as an evaluation set: wafers that are kept from training, drawn whatever was decided.

Flagged images are all reviewed, PASS images only where an audit draws them. Together they would be a world full of
defects and of production's own false alarms, in which every candidate looks different. So flagged images are thinned
by a hash to the audit's chance (as `lifecycle.conductor.canary.audited` does), and what is left is what the line
sends, up to chance. Overturned images come in here, and nowhere else: here they only measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lifecycle.retraining.config import ExtractSection
from lifecycle.retraining.guards import is_recent
from router.canary import position


class Labelled(NamedTuple):
    """An image with its label. type: "good" or the defect's; row: of the inspection that it stands for."""

    sha256: str
    type: str
    row: Mapping[str, Any]


def recent_sample(
    inspections: Mapping[str, Sequence[Mapping[str, Any]]],
    types: Mapping[str, str],
    settings: ExtractSection,
    *,
    since: float,
    until: float,
) -> list[Labelled]:
    """Reviewed images of evaluation wafers, each once, drawn with the audit's chance.

    Args:
        inspections: Every inspection of each image (by SHA-256), oldest first.
        types: "good" or the defect's type of each image whose label is undisputed.
        settings: Of the extraction.
        since: Begin of the window, Unix time.
        until: Its end.
    """
    inside = {
        sha: [
            row
            for row in rows
            if since <= row["received_at"] < until and is_recent(row["wafer_id"], settings)
        ]
        for sha, rows in inspections.items()
        if sha in types
    }
    chances = [
        row["audit_share"] for rows in inside.values() for row in rows if row["audit_share"] is not None
    ]
    chance = max(chances, default=0.0)
    found = []
    for sha, rows in inside.items():
        drawn = [row for row in rows if _is_drawn(row, chance)]
        if drawn:
            found.append(Labelled(sha, types[sha], drawn[-1]))
    return found


def _is_drawn(row: Mapping[str, Any], chance: float) -> bool:
    if row["decision"] == "PASS":
        return row["audit_share"] is not None
    return position("audit", row["id"]) < chance
