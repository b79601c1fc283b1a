"""Defects of the pattern itself.

They alter the layout's geometry, exactly, and are then drawn like the rest of it: a bridge has edges as
bright as those of the lines that it joins.
"""

import numpy as np

from wafer_data.micrograph.change import Change, View
from wafer_data.micrograph.geometry import Gap, Tone, place_in_view

_CORNER = 0.2  # pitches over which a corner is rounded: lithography prints none that is sharp


def bridge(view: View, rng: np.random.Generator) -> Change:
    """Two neighbouring structures joined across the gap between them, with rounded corners where it meets them."""
    gap = view.scene.layout.gap(rng, view.scene.offset)
    bar = _bar(view, gap) + view.scene.edge
    joined = -_rounded_min(-view.distance, -bar, _CORNER * view.pitch)
    tone = view.scene.layout.tone
    # Also where the bridge leaves a structure: the bright edge that was there is gone.
    footprint = (joined > -_rim(tone)) & (joined - view.distance > 0.25)
    return Change(tone.grey(joined) - view.ideal, footprint)


def missing_feature(view: View, rng: np.random.Generator) -> Change:
    """A structure erased, or a piece of a line: the layout without it, in place of the layout."""
    box = view.scene.layout.feature(rng, view.scene.offset)
    hole = box.distance(view.size)
    erased = _rounded_min(view.distance, -hole, _CORNER * view.pitch)
    tone = view.scene.layout.tone
    footprint = (hole > -1.5) & (view.distance > -_rim(tone))
    return Change(tone.grey(erased) - view.ideal, footprint)


def pattern_shift(view: View, rng: np.random.Generator) -> Change:
    """A rectangular block of the layout displaced by 0.2-0.45 of the pitch, as at a stitching error.

    Its sides are 1.5-4.5 pitches (at most half of the image).
    """
    size = view.size
    most = min(4.5 * view.pitch, 0.5 * size)
    tall, wide = rng.uniform(min(1.5 * view.pitch, most), most, 2)
    y = place_in_view(rng, 0, size - 1, tall / 2, size)
    x = place_in_view(rng, 0, size - 1, wide / 2, size)
    moved = view.scene.layout.tone.grey(view.scene.pattern(view.scene.layout.shift(rng)))
    down, across = view.around(y, x)
    footprint = (np.abs(down) <= tall / 2) & (np.abs(across) <= wide / 2)
    return Change(np.where(footprint, moved - view.ideal, 0).astype(np.float32), footprint)


def _rim(tone: Tone) -> float:
    """How far outside an edge, in pixels, its brightness is still to be seen."""
    return max(1.0, 1.5 * tone.edge_outside)


def _bar(view: View, gap: Gap) -> np.ndarray:
    """Signed distance to the bridge, a bar; its ends lie inside the two structures."""
    box = gap.box
    y, x = view.around((box.top + box.bottom) / 2, (box.left + box.right) / 2)
    if gap.upright:
        along, across, half, length = y, x, (box.right - box.left) / 2, box.bottom - box.top
    else:
        along, across, half, length = x, y, (box.bottom - box.top) / 2, box.right - box.left
    ends = np.float32(length / 2 + 0.7 * gap.depth) - np.abs(along)
    return np.asarray(np.minimum(np.float32(half) - np.abs(across), ends), dtype=np.float32)


def _rounded_min(first: np.ndarray, second: np.ndarray, reach: float) -> np.ndarray:
    """The smaller one, and less where the two are nearly equal: rounds the corners of an intersection.

    Quadratic blending of signed distances; where they differ by `reach` or more it is the minimum itself.
    """
    overlap = np.maximum(np.float32(reach) - np.abs(first - second), 0)
    return np.minimum(first, second) - overlap * overlap * np.float32(0.25 / reach)
