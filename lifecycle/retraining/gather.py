"""What the service's database knows of images: inspections, verdicts, escapes, doubts. Reads only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from lifecycle.retraining.config import ExtractSection
from service.feedback import folder_of, known_defective, labelled_entries, type_of
from service.store.tables import images, inspections, shadow_scores

_COLUMNS = (
    "id", "wafer_id", "point", "lot", "tool", "layer", "recipe", "received_at", "decision", "model_decision", "route",
    "score", "review_above", "verdict", "audit_share", "version", "image_sha256",
)  # fmt: skip
_AT_ONCE = 500
_OVERSAMPLED = 4.0


@dataclass(frozen=True)
class Defect:
    """An image that people called defective, undisputed. row: its newest inspection; rows: all of them."""

    sha256: str
    type: str
    row: dict[str, Any]
    rows: list[dict[str, Any]]


@dataclass
class Gathered:
    """What there is to choose from.

    Attributes:
        inspections: Every inspection of the images that may matter, by SHA-256, oldest first.
        defects: What people called defective, undisputed.
        good: Images that people called good, undisputed.
        not_good: Images that are known to be defective, or whose verdicts are disputed.
        doubted: Images that another version did not PASS.
        left_out: Labels that cannot be used, by reason.
    """

    inspections: dict[str, list[dict[str, Any]]]
    defects: list[Defect] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    not_good: set[str] = field(default_factory=set)
    doubted: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)


def gather(connection: sa.Connection, settings: ExtractSection, since: float, until: float) -> Gathered:
    """Ask the database.

    Args:
        connection: To read from.
        settings: Of the extraction.
        since: Begin of the window, Unix time.
        until: Its end; labels that were given later count too, for they only tell more.
    """
    found = Gathered({})
    for entry in labelled_entries(connection, found.left_out):
        if entry["label"] == "good":
            found.good.add(entry["sha256"])
        elif settings.recipe is None or entry["rows"][-1]["recipe"] == settings.recipe:
            rows = [dict(row) for row in entry["rows"]]
            found.defects.append(Defect(entry["sha256"], folder_of(type_of(entry["counts"])), rows[-1], rows))
    looked = sa.select(inspections.c.image_sha256).where(inspections.c.verdict.is_not(None))
    disputed = set(connection.execute(looked).scalars()) - found.good
    found.not_good = disputed | known_defective(connection)
    window = [inspections.c.received_at >= since, inspections.c.received_at < until]
    if settings.recipe is not None:
        window.append(inspections.c.recipe == settings.recipe)
    wanted = set(
        connection.execute(
            sa.select(inspections.c.image_sha256).where(*window, inspections.c.verdict.is_not(None))
        ).scalars()
    )
    if settings.unreviewed:
        wanted |= _unreviewed(connection, settings, window)
    whole = {
        row[0] for row in _chunked(connection, sorted(wanted), images.c.sha256, images.c.removed_at.is_(None))
    }
    found.left_out["removed by retention"] += len(wanted) - len(whole)
    rows_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(connection, sorted(whole)):
        rows_of[row["image_sha256"]].append(row)
    found.inspections = dict(rows_of)
    if settings.unreviewed:
        doubts = _chunked(
            connection, [row["id"] for rows in rows_of.values() for row in rows],
            shadow_scores.c.inspection_id, shadow_scores.c.decision != "PASS",
        )  # fmt: skip
        of = {row["id"]: sha for sha, rows in rows_of.items() for row in rows}
        found.doubted = {of[row[0]] for row in doubts}
    return found


def _unreviewed(connection: sa.Connection, settings: ExtractSection, window: list[Any]) -> set[str]:
    """A sample of the window's PASS images: a SHA-256 is uniform, so its beginning draws by chance."""
    passed = [*window, inspections.c.decision == "PASS", inspections.c.verdict.is_(None)]
    count = connection.execute(sa.select(sa.func.count()).where(*passed)).scalar_one()
    share = min(1.0, _OVERSAMPLED * settings.most / max(count, 1))
    query = sa.select(inspections.c.image_sha256).where(*passed)
    if share < 1:
        query = query.where(inspections.c.image_sha256 < f"{int(share * 2**64):016x}")
    return set(connection.execute(query).scalars())


def _rows(connection: sa.Connection, shas: list[str]) -> Iterator[dict[str, Any]]:
    columns = [inspections.c[name] for name in _COLUMNS]
    for first in range(0, len(shas), _AT_ONCE):
        part = shas[first : first + _AT_ONCE]
        query = sa.select(*columns).where(inspections.c.image_sha256.in_(part)).order_by(inspections.c.seq)
        for row in connection.execute(query).mappings():
            yield dict(row)


def _chunked(
    connection: sa.Connection, keys: list[str], column: sa.Column[Any], condition: Any
) -> Iterator[sa.Row[Any]]:
    for first in range(0, len(keys), _AT_ONCE):
        part = keys[first : first + _AT_ONCE]
        yield from connection.execute(sa.select(column).where(column.in_(part), condition))
