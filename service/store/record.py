"""An inspection's row as it was decided, and the digest that the audit trail holds of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# All that is decided once and never changed after: what the digest covers.
DIGESTED = (
    "id", "idempotency_key", "wafer_id", "point", "lot", "tool", "layer", "recipe", "captured_at", "received_at",
    "image_sha256", "decision", "model_decision", "rule", "rules", "reasons", "audit_share", "route", "score",
    "lowres_score", "full_score", "anomaly_score", "review_above", "reject_above", "confidence", "defect", "version",
    "bundle", "rollout_id", "arm", "node", "api_key_id", "inference_ms", "steps_ms",
)  # fmt: skip
# What else the journal carries to the database.
CARRIED = ("image_bytes", "image_format", "map_reference", "appearance")


def canonical(row: Mapping[str, Any]) -> bytes:
    """The columns of :data:`DIGESTED` and :data:`CARRIED` as JSON that is the same for the same row."""
    picked = {name: row[name] for name in (*DIGESTED, *CARRIED) if name in row}
    return json.dumps(
        picked, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(row: Mapping[str, Any]) -> str:
    """SHA-256 of the columns of :data:`DIGESTED`, of a row from the journal or from the database."""
    return hashlib.sha256(canonical({name: row[name] for name in DIGESTED})).hexdigest()


def parse(record: bytes) -> dict[str, Any]:
    """What :func:`canonical` wrote."""
    row: dict[str, Any] = json.loads(record)
    return row
