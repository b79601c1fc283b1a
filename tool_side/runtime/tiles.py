"""One large image along the route, tile by tile; one result comes out.

No more than one tile is in memory as the students see it. They are shown one at a time: a graph gives an image the same
score to the last bit only by itself, and on one core a batch saves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from classify.features import Seen
from router.decision import PASS, Decision, Route
from router.policy import RoutingPolicy
from router.route_scores import RouteScores, deciding_tiles
from tool_side.runtime.defect_type import MOST, Types, describe
from tool_side.runtime.inspection import TILES, Draft
from tool_side.runtime.session import StudentOutput
from wafer_data.defect import DefectFinding
from wafer_data.imaging.tiling import Tiles

Student = Callable[[np.ndarray], StudentOutput]


@dataclass(frozen=True)
class SeenTile:
    """What the last student saw of an image: all of it, or one of its tiles.

    Attributes:
        box: left, top, width, height of the tile in pixels of the image; None for the whole.
    """

    seen: Seen
    box: tuple[int, int, int, int] | None = None

    def depth(self, point: tuple[float, float]) -> float:
        """How far (x, y) of the image lies inside the tile, as a share of its sides; negative outside."""
        assert self.box is not None
        left, top, width, height = self.box
        across, down = (point[0] - left) / width, (point[1] - top) / height
        return min(across, 1 - across, down, 1 - down)


def judge_tiles(
    tiles: Tiles,
    policy: RoutingPolicy,
    students: Mapping[str, Student],
    references: Mapping[str, float],
    result: Draft,
) -> list[SeenTile]:
    """Fills in decision, route, scores, reasons, map, latent, tiles and times.

    Args:
        tiles: of the image.
        policy: of its recipe.
        students: by stage of the route.
        references: unit of each one's maps.
        result: in the making.

    Returns:
        The deciding tile, then the others whose routed score lies above the review threshold.
    """
    clock = perf_counter()
    first = [students[Route.LOWRES](tile)._replace(cells=()) for tile in tiles]
    lowres, full = np.array([one.score for one in first]), np.full(len(first), np.nan)
    result.seconds[Route.LOWRES] = perf_counter() - clock
    clock = perf_counter()
    escalated: list[int] = np.flatnonzero(policy.escalate(lowres)).tolist()
    second = {i: students[Route.FULL](tiles[i]) for i in escalated}
    if second:
        result.seconds[Route.FULL] = perf_counter() - clock
    full[escalated] = [one.score for one in second.values()]
    route = Route.FULL if second else Route.LOWRES

    (tile,) = (int(i) for i in deciding_tiles(policy, lowres, full, np.array([len(first)])))
    unit = references[route]
    maps = [
        second[i].map * np.float32(unit / references[Route.FULL])
        if i in second
        else one.map * np.float32(unit / references[Route.LOWRES])
        for i, one in enumerate(first)
    ]
    whole = tiles.grid.assemble(maps)
    output = first[tile]
    result.take(Route.LOWRES, output._replace(map=whole))
    if second:
        output = second.get(tile, output)
        result.take(Route.FULL, output._replace(map=whole, score=float(full[tile])))
    result.evidence[TILES] = {
        "count": len(first),
        "escalated": len(second),
        "rows": len(tiles.grid.rows),
        "columns": len(tiles.grid.columns),
        "deciding": {"tile": tile, "box": list(tiles.grid.box(tile))},
    }
    one = RouteScores(lowres[[tile]], full[[tile]]).under(policy)
    result.decide(Decision(str(one.decisions[0])), float(one.score[0]), policy)
    every = RouteScores(lowres, full).under(policy)
    flagged = [i for i in second if i != tile and every.decisions[i] != PASS]
    return [
        SeenTile(Seen(tiles[i], *second.get(i, first[i])[1:]), tiles.grid.box(i)) for i in (tile, *flagged)
    ]


def describe_tiles(
    types: Types | None,
    shown: Sequence[SeenTile],
    reference: float,
    size: tuple[int, int],
    pixel_um: tuple[float, float] | None = None,
) -> list[DefectFinding]:
    """`tool_side.runtime.defect_type.describe` of an image that was looked at as a whole, or of its flagged tiles.

    Boxes and centres are in pixels of the image. What neighbouring tiles share is described by the one that it lies
    deeper in.
    """
    if shown[0].box is None:
        return describe(types, shown[0].seen, reference, size, pixel_um)
    found = []
    for place, part in enumerate(shown):
        assert part.box is not None
        for one in describe(types, part.seen, reference, part.box[2:], pixel_um):
            here = _moved(one, *part.box[:2])
            deepest = max(range(len(shown)), key=lambda i: shown[i].depth(here.center))
            found.append((deepest == place, here))
    kept = [here for own, here in found if own] or [found[0][1]]
    return sorted(kept, key=lambda here: -(here.peak or 0.0))[:MOST]


def _moved(one: DefectFinding, left: int, top: int) -> DefectFinding:
    x0, y0, x1, y1 = one.box
    return one.with_(
        box=(x0 + left, y0 + top, x1 + left, y1 + top), center=(one.center[0] + left, one.center[1] + top)
    )
