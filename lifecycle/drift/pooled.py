"""What no stream says alone: streams that share a tool, a layer or a recipe, taken together.

A shift of half a spread on every tool is invisible on each and plain on two hundred. Each wafer is standardised by its
own stream's reference, cut at three standard deviations so that one mad stream does not speak for its group, and the
pooled wafers are watched as if they were one stream's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lifecycle.drift.columns import BY_MEANS, SMALLEST_SPREAD, Columns, columns_of, width_of
from lifecycle.drift.wafer_summary import Reference, Stream, WaferSummary
from lifecycle.drift.watches import LEAST_UNITS, Finding, compare_means, units_of

LEAST_EFFECT = 0.5
"""Standard deviations between wafers by which a group must have moved."""
_MOST = 3.0
EVERYWHERE = "everywhere"


class Sides(NamedTuple):
    """A stream's wafers from when all was well, and those to be looked at."""

    reference: Reference
    recent: Sequence[WaferSummary]


def groups_of(streams: Sequence[Stream]) -> dict[tuple[str, str], list[Stream]]:
    """{(field, name): its streams} of all tools, layers and recipes with two streams or more, and of the whole fab.

    Groups of the same streams are one: the widest name of it stays.
    """
    found: dict[tuple[str, str], list[Stream]] = {(EVERYWHERE, ""): sorted(streams)}
    for field in ("recipe", "layer", "tool"):
        for name in sorted({getattr(stream, field) for stream in streams}):
            found[field, name] = sorted(s for s in streams if getattr(s, field) == name)
    kept: dict[tuple[str, str], list[Stream]] = {}
    for group, members in found.items():
        if len(members) >= 2 and members not in kept.values():
            kept[group] = members
    return kept


def watch_group(streams: Mapping[Stream, Sides], members: Sequence[Stream]) -> list[Finding]:
    """Ask the watches that compare means of all wafers of a group together.

    Args:
        streams: All streams that are looked at.
        members: Those of the group.

    Returns:
        One finding a watch; the effect is in standard deviations between wafers (`LEAST_EFFECT`).
    """
    found = []
    for watch in BY_MEANS:
        width = max(width_of(watch, streams[one].reference) for one in members)
        if not width:
            continue
        parts = [_standardised(watch, streams[one], width) for one in members]
        reference = [w for one in members for w in streams[one].reference]
        recent = [w for one in members for w in streams[one].recent]
        known, fresh = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        lots = len({w.lot for w in reference if w.lot}) >= LEAST_UNITS
        usual, units = units_of(reference, known, lots), units_of(recent, fresh, lots)
        if len(usual.means) >= LEAST_UNITS and len(units.means):
            names = columns_of(watch, reference[:1], width).names
            one = compare_means(watch, usual, units, Columns(known, names, np.zeros(width)))
            moved = float(np.nanmean(fresh, axis=0)[names.index(one.what.rsplit(" ", 1)[0])])
            found.append(Finding(watch, one.p, abs(moved), one.what, one.units))
    return found


def _standardised(watch: str, sides: Sides, width: int) -> tuple[np.ndarray, np.ndarray]:
    def make() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        known = columns_of(watch, sides.reference, width)
        rows = known.rows[np.isfinite(known.rows).all(1)]
        if len(rows) < LEAST_UNITS:
            return np.full(known.rows.shape, np.nan), np.full(width, np.nan), np.ones(width)
        spread = np.maximum(rows.std(0, ddof=1), known.floor)
        spread = np.where(spread > SMALLEST_SPREAD, spread, np.inf)
        middle = rows.mean(0)
        return np.clip((known.rows - middle) / spread, -_MOST, _MOST), middle, spread

    known, middle, spread = sides.reference.remember(("standardised", watch, width), make)
    fresh = columns_of(watch, sides.recent, width).rows
    return known, np.clip((fresh - middle) / spread, -_MOST, _MOST)
