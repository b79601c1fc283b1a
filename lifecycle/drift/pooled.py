"""What no stream says alone: streams that share a tool, a layer or a recipe, taken together.

A shift of half a spread on every tool is invisible on each and plain on two hundred. Each wafer is standardised by its
own stream's reference, cut at three standard deviations so that one mad stream does not speak for its group, and the
pooled wafers are watched as if they were one stream's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lifecycle.drift.columns import SMALLEST_SPREAD, floors
from lifecycle.drift.first_wafers import LEAST_UNITS
from lifecycle.drift.frame import Frame, Reference, Sides
from lifecycle.drift.lot_tails import GAUSSIAN
from lifecycle.drift.moderated import no_prior
from lifecycle.drift.units import moments_of, units_of
from lifecycle.drift.wafer_summary import Stream
from lifecycle.drift.watches import Said, compare_means

LEAST_EFFECT = 0.5
"""Standard deviations between wafers by which a group must have moved."""
_MOST = 3.0
EVERYWHERE = "everywhere"
FIELDS = ("recipe", "layer", "tool")
Group = tuple[str, str]


def groups_of(streams: Sequence[Stream]) -> dict[Group, list[Stream]]:
    """{(field, name): its streams} of all tools, layers and recipes with two streams or more, and of the whole fab.

    Groups of the same streams are one: the widest name of it stays.
    """
    found: dict[Group, list[Stream]] = {(EVERYWHERE, ""): sorted(streams)}
    for field in FIELDS:
        for name in sorted({getattr(stream, field) for stream in streams}):
            found[field, name] = sorted(s for s in streams if getattr(s, field) == name)
    kept: dict[Group, list[Stream]] = {}
    for group, members in found.items():
        if len(members) >= 2 and members not in kept.values():
            kept[group] = members
    return kept


def watch_groups(frame: Frame, sides: Sides, groups: Sequence[Sequence[Stream]]) -> tuple[Said, np.ndarray]:
    """Ask the watches that compare means of all wafers of each group together; no stream is in two of them.

    Args:
        frame: All wafers.
        sides: Which are looked at.
        groups: Streams of each.

    Returns:
        What they say; the effect is in standard deviations between wafers (`LEAST_EFFECT`). And whether a group has
        moved so far, (groups, W).
    """
    place = {stream: index for index, stream in enumerate(frame.streams)}
    of_stream = np.full(len(frame.streams), -1)
    for index, members in enumerate(groups):
        of_stream[[place[one] for one in members]] = index
    owner, size = of_stream[frame.stream], len(groups)
    reference, key = sides.reference, of_stream.tobytes()
    if key not in reference.kept:
        known = np.flatnonzero(reference.mask & (owner >= 0))
        usual = units_of(_standardised(frame, reference, known), owner[known], frame.unit[known])
        reference.kept[key] = moments_of(usual, size)
    fresh = sides.recent[owner[sides.recent] >= 0]
    rows = _standardised(frame, reference, fresh)
    recent = units_of(rows, owner[fresh], frame.unit[fresh])
    width = rows.shape[1]
    said = compare_means(
        reference.kept[key],
        recent,
        np.zeros((size, width)),
        frame.layout,
        no_prior(width),
        np.full(width, GAUSSIAN),
    )
    wafers = moments_of(units_of(rows, owner[fresh], fresh), size).mean
    moved = np.abs(np.nan_to_num(np.take_along_axis(wafers, said.column, axis=1)))
    return said._replace(effect=moved), moved >= LEAST_EFFECT


def _standardised(frame: Frame, reference: Reference, at: np.ndarray) -> np.ndarray:
    """Wafers in standard deviations of their own stream's reference wafers, cut at 3; (len(at), C)."""
    alone = reference.wafers
    spread = np.maximum(np.sqrt(alone.variance), floors(frame.layout, reference.images))
    spread = np.where(spread > SMALLEST_SPREAD, spread, np.inf)
    middle = np.where(alone.units >= LEAST_UNITS, alone.mean, np.nan)
    stream = frame.stream[at]
    return np.clip((frame.rows[at] - middle[stream]) / spread[stream], -_MOST, _MOST)
