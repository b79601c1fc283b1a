"""The pass over the test images where each is looked at in tiles: one image in memory at a time, one map of each."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

from eval.metrics import PixelHistograms
from eval.scorers import Scorer
from eval.scoring import TestScores
from router.policy import RoutingPolicy
from router.route_scores import STUDENTS, Student, TileScores, look, score_tiles
from wafer_data.imaging.tiling import Grid
from wafer_data.progress import track
from wafer_data.store import ImageStore

_REFERENCE = "compared "


def score_tiled_images(
    store: ImageStore,
    scorers: Mapping[str, Scorer],
    policy: RoutingPolicy | None,
    references: Mapping[str, float] | None,
    compared: Mapping[str, Student] | None,
    batch_size: int,
) -> TestScores:
    """As `eval.scoring.score_test_images`: a model's score of an image is the highest of its tiles.

    Maps are assembled as on the tool and compared with the masks at the scale of the tiles. Baselines see the image
    as a whole, shrunk.
    """
    assert store.reduced is not None
    indices = store.indices("test")
    records = [store.records[i] for i in indices]
    labels = np.array([record.label for record in records], dtype=np.int64)
    with_masks = any(store.mask(int(i)) is not None for i in indices[labels == 1])
    found = TestScores(
        indices,
        labels,
        [record.type for record in records],
        {name: np.empty(len(indices)) for name in scorers},
        np.zeros(len(indices), dtype=bool),
        variants={
            name: {key: np.empty(len(indices)) for key in scorer.variants}
            for name, scorer in scorers.items()
            if scorer.variants
        },
        tiles=np.array([len(store.reduced.grids[int(i)]) for i in indices], dtype=np.int64),
    )
    models = {name: scorer.score for name, scorer in scorers.items() if not scorer.whole}
    others = {_REFERENCE + name: student for name, student in (compared or {}).items()}
    kept: dict[str, list[np.ndarray]] = {name: [] for name in (*STUDENTS, *others)}
    for row, index in enumerate(track(indices, "scoring test images, tile by tile")):
        image, grid = int(index), store.reduced.grids[int(index)]
        if policy is not None:
            found.refused[row] = bool(look(policy.gate, store.image(image)).reasons)
        outputs = score_tiles(store.tiles_of(image), models | others, batch_size)
        for name in models:
            found.scores[name][row] = outputs[name].score.max()
        for name, values in kept.items():
            if name in outputs:
                values.append(outputs[name].score)
        maps = {name: grid.assemble(list(outputs[name].map)) for name in models}
        maps |= _whole(found, row, store.batch([image]), scorers)
        if not with_masks:
            continue
        mask = store.reduced.mask(image) if labels[row] else np.zeros(grid.reduced, bool)
        if mask is None:
            continue
        for name, one in maps.items():
            _count(found, name, one, mask, row)
        if policy is not None and references is not None and not found.refused[row]:
            _count(found, "routed", _routed_map(grid, outputs, policy, references), mask, row)
    joined = {name: np.concatenate(values) for name, values in kept.items() if values}
    found.tile_scores = {name: joined[name] for name in STUDENTS if name in joined}
    found.reference = {name: joined[_REFERENCE + name] for name in compared or {}}
    return found


def _whole(
    found: TestScores, row: int, image: np.ndarray, scorers: Mapping[str, Scorer]
) -> dict[str, np.ndarray]:
    """Scores of the baselines, and their maps."""
    maps = {}
    for name, scorer in scorers.items():
        if not scorer.whole:
            continue
        output = scorer.score(image)
        found.scores[name][row] = output.score[0]
        if output.map is not None:
            maps[name] = output.map[0]
        for key, variant in scorer.variants.items():
            found.variants[name][key][row] = variant(image).score[0]
    return maps


def _routed_map(
    grid: Grid, outputs: Mapping[str, TileScores], policy: RoutingPolicy, references: Mapping[str, float]
) -> np.ndarray:
    """The map of the route, each tile's over the reference of the deepest student that it met."""
    low, full = (outputs[name] for name in STUDENTS)
    parts: Sequence[np.ndarray] = [
        full.map[i] / np.float32(references["full"])
        if escalated
        else low.map[i] / np.float32(references["lowres"])
        for i, escalated in enumerate(policy.escalate(low.score))
    ]
    return grid.assemble(parts)


def _count(found: TestScores, name: str, one: np.ndarray, mask: np.ndarray, row: int) -> None:
    plane = torch.from_numpy(np.ascontiguousarray(one, dtype=np.float32))[None, None]
    large = functional.interpolate(plane, size=mask.shape, mode="bilinear", align_corners=False)[0].numpy()
    found.pixels.setdefault(name, PixelHistograms()).update(large, mask[None])
    found.pixel_rows.setdefault(name, []).append(row)
