"""What a request says about its image, in query parameters or headers, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from service.problem import Problem
from wafer_data.image_ref import ImageRef

LONGEST_NAME = 128
LONGEST_KEY = 200
_HEADERS = {
    "wafer_id": "X-Wafer-Id",
    "inspection_point": "X-Inspection-Point",
    "lot": "X-Lot",
    "tool": "X-Tool",
    "layer": "X-Layer",
    "recipe": "X-Recipe",
    "captured_at": "X-Captured-At",
}


def rule_fields(ref: ImageRef) -> dict[str, str | None]:
    """What the site's rules look at (`decide.rules.FIELDS`)."""
    return {
        "lot": ref.lot,
        "wafer_id": ref.wafer,
        "point": ref.site,
        "tool": ref.tool,
        "layer": ref.layer,
        "recipe": ref.recipe,
    }


def place_of(ref: ImageRef) -> str:
    """Digest of what an image shows and of its bytes: a retry has the same, and nothing else that a camera makes."""
    known = (ref.tool, ref.lot, ref.wafer, ref.site, ref.layer, ref.recipe, ref.time, ref.sha256)
    return hashlib.sha256("\0".join(map(repr, known)).encode()).hexdigest()


def read_image_ref(query: Mapping[str, str], headers: Mapping[str, str]) -> ImageRef:
    """Read the description of one image.

    Args:
        query: Query parameters; unknown ones are refused, because a misspelt one would be lost.
        headers: Of the request, case-insensitive.

    Raises:
        Problem: 400 for a name that is missing, malformed, or given twice with different values.
    """
    unknown = sorted(set(query) - set(_HEADERS))
    if unknown:
        raise Problem(400, f"unknown query parameter {unknown[0]!r}; known are {', '.join(_HEADERS)}")
    found = {}
    for name, header in _HEADERS.items():
        value, other = query.get(name), headers.get(header)
        if value is not None and other is not None and value != other:
            raise Problem(
                400, f"{name} is {value!r} in the query and {other!r} in {header}: send one of them"
            )
        value = other if value is None else value
        found[name] = None if value is None or value == "" else _name(name, value)
    for name in ("wafer_id", "inspection_point"):
        if found[name] is None:
            raise Problem(400, f"{name} is missing: send it as a query parameter or in {_HEADERS[name]}")
    return ImageRef(
        wafer=found["wafer_id"],
        site=found["inspection_point"],
        lot=found["lot"],
        tool=found["tool"],
        layer=found["layer"],
        recipe=found["recipe"],
        time=_time(found["captured_at"]),
    )


def read_idempotency_key(headers: Mapping[str, str]) -> str | None:
    """The client's `Idempotency-Key`, or None. Raises Problem (400) for one that is malformed."""
    key = headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Problem(400, f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters")
    return key


def _name(name: str, value: str) -> str:
    if len(value) > LONGEST_NAME or not value.isprintable() or value != value.strip():
        raise Problem(
            400, f"{name} must be at most {LONGEST_NAME} printable characters without spaces at the ends"
        )
    return value


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return datetime.fromtimestamp(float(text), UTC)
        except (ValueError, OverflowError, OSError):
            raise Problem(
                400, "captured_at must be a time like 2026-01-31T12:00:00Z, or seconds since 1970"
            ) from None
    if moment.tzinfo is None:
        raise Problem(400, "captured_at needs its zone, like 2026-01-31T12:00:00Z or +01:00")
    return moment.astimezone(UTC)
