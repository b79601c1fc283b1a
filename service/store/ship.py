"""From the node's journal into the database and the image store, each entry exactly once.

The cursor of what is shipped lies in the database and moves in the transaction that inserts the rows; a crash
between any two steps ships the same entries again and changes nothing. While the database or the store does not
answer, the journal grows and the line goes on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from service.store import audit, record
from service.store.database import Database
from service.store.evidence import deflated
from service.store.image_files import Images
from service.store.journal import Entry, Journal
from service.store.tables import attempts, images, inspections, nodes, review_tasks, wafers

STRICTNESS = {"PASS": 0, "REVIEW": 1, "REJECT": 2}
_COUNTERS = {"PASS": "passed", "REVIEW": "review", "REJECT": "rejected"}
# Of a task whose image has no score: before all others.
UNJUDGED_RISK = 1e6
_SEAL_EVERY_S, _SEAL_ROWS = 60.0, 5000


class Shipper:
    """Carries one journal's entries. To be used by one thread."""

    def __init__(self, journal: Journal, database: Database, store: Images) -> None:
        self._journal, self._database, self._store = journal, database, store
        self._shipped: int | None = None
        self._sealed_at = 0.0
        # Answers of this node that differed from another node's answer to the same request.
        self.conflicts = 0

    def ship(self) -> int:
        """Carry one batch.

        Returns:
            Number of entries; 0 if there is none left.

        Raises:
            DatabaseDown, OSError: Nothing was carried; try again later.
        """
        if self._shipped is None:
            self._shipped = self._cursor()
            self._journal.shipped(self._shipped)
        entries = self._journal.after(self._shipped)
        if not entries:
            return 0
        self._store.put_many((entry.body, entry.image) for entry in entries)
        with self._database.write() as connection:
            self._insert(connection, entries)
            # Retention of another worker may have removed one since; from here on its row is locked.
            self._store.put_many(
                (entry.body, entry.image) for entry in entries if not self._store.has(entry.body)
            )
            connection.execute(
                sa.update(nodes)
                .where(nodes.c.name == self._journal.node)
                .values(shipped=entries[-1].seq, seen_at=time.time())
            )
        self._shipped = entries[-1].seq
        self._journal.shipped(self._shipped)
        return len(entries)

    def lag(self) -> int:
        """Entries that are not in the database yet."""
        return self._journal.last() - (self._shipped or 0)

    def seal(self, *, now: bool = False) -> int:
        """Put the digest of the rows shipped since the last seal into the audit trail, about once a minute.

        Returns:
            Number of rows that it covers.
        """
        if not now and time.monotonic() - self._sealed_at < _SEAL_EVERY_S:
            return 0
        self._sealed_at = time.monotonic()
        with self._database.write() as connection:
            return seal_node(connection, self._journal.node)

    def _cursor(self) -> int:
        with self._database.write() as connection:
            connection.execute(
                self._database.insert_new(nodes).values(
                    name=self._journal.node, shipped=0, sealed=0, seen_at=time.time()
                )
            )
            found = connection.execute(
                sa.select(nodes.c.shipped).where(nodes.c.name == self._journal.node)
            ).scalar_one()
        return int(found)

    def _insert(self, connection: sa.Connection, entries: Sequence[Entry]) -> None:
        rows = [self._row(entry) for entry in entries]
        ids = [row["id"] for row in rows]
        known = set(
            connection.execute(sa.select(inspections.c.id).where(inspections.c.id.in_(ids))).scalars()
        )
        fresh = [row for row in rows if row["id"] not in known]
        self._insert_images(connection, rows)
        if fresh:
            self._count_wafers(connection, fresh)
            columns = inspections.c.keys()
            connection.execute(
                sa.insert(inspections), [{k: v for k, v in row.items() if k in columns} for row in fresh]
            )
            tasks = [task for task in map(_task, fresh) if task is not None]
            if tasks:
                connection.execute(self._database.insert_new(review_tasks), tasks)
        for row in rows:
            if row["id"] in known:
                self._further_answer(connection, row)

    def _row(self, entry: Entry) -> dict[str, Any]:
        row = record.parse(entry.record)
        return {
            **dict.fromkeys(record.CARRIED),  # an entry of an earlier version carries less
            **row,
            "entry": entry.seq,
            "digest": record.digest(row),
            "latent": entry.latent,
            "map": deflated(entry.map),
        }

    def _insert_images(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        now = time.time()
        values = {
            row["image_sha256"]: {
                "sha256": row["image_sha256"],
                "bytes": row["image_bytes"],
                "format": row["image_format"],
                "stored_at": now,
            }
            for row in rows
        }
        insert = self._database.upsert(images)
        # The same image came again after retention had removed it: its file is here again.
        again = insert.on_conflict_do_update(
            index_elements=[images.c.sha256], set_={"removed_at": None, "removed_by": None, "stored_at": now}
        )
        connection.execute(again, list(values.values()))

    def _count_wafers(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        totals: dict[str, dict[str, Any]] = {}
        for row in rows:
            total = totals.setdefault(
                row["wafer_id"],
                {"wafer_id": row["wafer_id"], "lot": row["lot"], "first_at": row["received_at"],
                 "passed": 0, "review": 0, "rejected": 0},
            )  # fmt: skip
            total["lot"] = row["lot"] or total["lot"]
            total["last_at"] = row["received_at"]
            total[_COUNTERS[row["decision"]]] += 1
        insert = self._database.upsert(wafers)
        new = insert.excluded
        counts = {name: wafers.c[name] + new[name] for name in _COUNTERS.values()}
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=[wafers.c.wafer_id],
                set_={"lot": sa.func.coalesce(new.lot, wafers.c.lot), "last_at": new.last_at, **counts},
            ),
            [totals[name] for name in sorted(totals)],  # one order for all nodes: no deadlock
        )

    def _further_answer(self, connection: sa.Connection, row: dict[str, Any]) -> None:
        """A retry that two nodes answered: one row stays; if the answers differ, the stricter one counts."""
        first = connection.execute(
            sa.select(inspections).where(inspections.c.id == row["id"]).with_for_update()
        ).mappings().one()  # fmt: skip
        if (first["node"], first["entry"]) == (row["node"], row["entry"]):
            return
        connection.execute(
            self._database.insert_new(attempts).values(
                inspection_id=row["id"], node=row["node"], entry=row["entry"], received_at=row["received_at"],
                decision=row["decision"], version=row["version"],
            )
        )  # fmt: skip
        if row["decision"] == first["decision"]:
            return
        self.conflicts += 1
        if STRICTNESS[row["decision"]] <= STRICTNESS[first["decision"]]:
            return
        changed = {**first, "decision": row["decision"], "reasons": row["reasons"], "rule": row["rule"]}
        changed["digest"] = record.digest(changed)
        connection.execute(
            sa.update(inspections)
            .where(inspections.c.id == row["id"])
            .values({name: changed[name] for name in ("decision", "reasons", "rule", "digest")})
        )
        connection.execute(
            sa.update(wafers)
            .where(wafers.c.wafer_id == row["wafer_id"])
            .values(
                {
                    _COUNTERS[first["decision"]]: wafers.c[_COUNTERS[first["decision"]]] - 1,
                    _COUNTERS[row["decision"]]: wafers.c[_COUNTERS[row["decision"]]] + 1,
                }
            )
        )
        task = _task(changed)
        if task is not None:
            connection.execute(self._database.insert_new(review_tasks).values(task))
        audit.record(
            connection,
            f"node:{row['node']}",
            "inspection.restated",
            f"inspection:{row['id']}",
            {
                "from": first["decision"],
                "to": row["decision"],
                "was": first["digest"],
                "is": changed["digest"],
            },
        )


def seal_node(connection: sa.Connection, node: str) -> int:
    """Seal what is shipped of `node` and not sealed yet; at most `_SEAL_ROWS` rows. Returns their number."""
    state = connection.execute(sa.select(nodes).where(nodes.c.name == node).with_for_update()).first()
    if state is None or state.sealed >= state.shipped:
        return 0
    rows = connection.execute(
        sa.select(inspections.c.entry, inspections.c.digest)
        .where(
            inspections.c.node == node,
            inspections.c.entry > state.sealed,
            inspections.c.entry <= state.shipped,
        )
        .order_by(inspections.c.entry)
        .limit(_SEAL_ROWS)
    ).all()
    last = rows[-1].entry if len(rows) == _SEAL_ROWS else state.shipped
    if rows:
        details = {"node": node, "after": state.sealed, "to": last, "rows": len(rows), "sha256": chain(rows)}
        audit.record(connection, f"node:{node}", "inspections.sealed", f"node:{node}", details)
    connection.execute(sa.update(nodes).where(nodes.c.name == node).values(sealed=last))
    return len(rows)


def chain(rows: Sequence[Any]) -> str:
    """One digest of many rows' digests, in order."""
    return hashlib.sha256("".join(row.digest for row in rows).encode()).hexdigest()


def _task(row: dict[str, Any]) -> dict[str, Any] | None:
    if row["decision"] == "PASS" and row["audit_share"] is None:
        return None
    risk = UNJUDGED_RISK if row["score"] is None else row["score"] - row["review_above"]
    kind = "audit" if row["decision"] == "PASS" else "review"
    return {"inspection_id": row["id"], "kind": kind, "risk": risk, "created_at": row["received_at"]}
