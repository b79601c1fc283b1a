"""One pass over the test images: every model's scores, pixel histograms, and the routed system's, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from eval.metrics import PixelHistograms
from eval.scorers import BATCH, Scorer, Seen
from router.policy import RoutingPolicy
from router.route_scores import STUDENTS, RouteScores, Student, score_batches
from wafer_data.imaging.planes import separate
from wafer_data.progress import track
from wafer_data.store import ImageStore

_REFERENCE = "compared "


@dataclass
class TestScores:
    """What the pass leaves behind; arrays are in the order of the test indices."""

    __test__ = False  # not a test case, whatever its name suggests to pytest

    indices: np.ndarray
    labels: np.ndarray
    types: list[str]
    scores: dict[str, np.ndarray]
    refused: np.ndarray
    """(N,) bool: the quality gate would not let the models judge this image."""
    reference: dict[str, np.ndarray] = field(default_factory=dict)
    """Scores (N,) that the tool's are compared with, by student's name."""
    pixels: dict[str, PixelHistograms] = field(default_factory=dict)
    """By model name; only for models with maps, and only if some test defect has a mask."""
    pixel_rows: dict[str, list[int]] = field(default_factory=dict)
    """Which test images `pixels` counted, in its order, by model name."""
    variants: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """Scores (N,) of the other settings of a baseline, by its name and theirs."""
    tiles: np.ndarray | None = None
    """(N,) how many tiles each large image has; `tile_scores` and `reference` are then of all of them, (P,)."""
    tile_scores: dict[str, np.ndarray] = field(default_factory=dict)
    """By student's name."""

    @property
    def route(self) -> RouteScores:
        """Both students' scores and what the gate refused."""
        both = self.scores if self.tiles is None else self.tile_scores
        return RouteScores(both["lowres"], both["full"], self.refused, self.tiles)

    @property
    def reference_route(self) -> RouteScores:
        """The same of the scores that the tool's are compared with."""
        return RouteScores(**self.reference, refused=self.refused, tiles=self.tiles)


def score_test_images(
    store: ImageStore,
    scorers: Mapping[str, Scorer],
    policy: RoutingPolicy | None,
    references: Mapping[str, float] | None,
    compared: Mapping[str, Student] | None = None,
    batch_size: int = BATCH,
    elsewhere: Elsewhere | None = None,
) -> TestScores:
    """Score every test image once with each model; `compared`: see `TestScores.reference`.

    `references` holds, for "lowres" and "full", the map value that 1 in 1000 calibration pixels exceeds. With
    it the routed system's pixels, which come from either model, are counted on one scale. Images that the
    gate refuses have no routed map and are left out of the routed pixels; defects without a mask are left out
    of all pixel counts. `elsewhere` scores instead of this process, which counts pixels and order in any case.
    """
    if store.reduced is not None:
        from eval.tiled_scoring import score_tiled_images

        return score_tiled_images(store, scorers, policy, references, compared, batch_size)
    indices = store.indices("test")
    records = [store.records[i] for i in indices]
    labels = np.array([record.label for record in records], dtype=np.int64)
    with_masks = any(store.mask(int(i)) is not None for i in indices[labels == 1])
    scores = {name: np.empty(len(indices)) for name in scorers}
    refused = np.zeros(len(indices), dtype=bool)
    variants = {
        name: {key: np.empty(len(indices)) for key in scorer.variants}
        for name, scorer in scorers.items()
        if scorer.variants
    }
    reference = {name: np.empty(len(indices)) for name in compared or {}}
    types = [record.type for record in records]
    found = TestScores(indices, labels, types, scores, refused, reference, variants=variants)
    parts = [slice(start, start + batch_size) for start in range(0, len(indices), batch_size)]
    if elsewhere is not None:
        made = elsewhere([indices[part] for part in parts])
    else:
        made = (score_batch(store, indices[part], scorers, policy, compared) for part in parts)
    for part, batch in zip(track(parts, "scoring test images"), made, strict=True):
        refused[part] = batch.refused
        for name, values in batch.reference.items():
            reference[name][part] = values
        for name, output in batch.outputs.items():
            scores[name][part] = output.score
        for name, found_variants in batch.variants.items():
            for key, values in found_variants.items():
                variants[name][key][part] = values
        if with_masks:
            maps = {name: output.map for name, output in batch.outputs.items() if output.map is not None}
            _count_pixels(found, store, part, maps, policy, references)
    return found


class ScoredPart(NamedTuple):
    """What all models make of a few test images; fields as in `TestScores`, `outputs` by model."""

    refused: np.ndarray
    outputs: dict[str, Seen]
    reference: dict[str, np.ndarray]
    variants: dict[str, dict[str, np.ndarray]]


Elsewhere = Callable[[Sequence[np.ndarray]], Iterator[ScoredPart]]
"""(indices of each part) -> what `score_batch` finds, in order: what scores instead of it, such as a cluster."""


def score_batch(
    store: ImageStore,
    indices: np.ndarray,
    scorers: Mapping[str, Scorer],
    policy: RoutingPolicy | None,
    compared: Mapping[str, Student] | None,
) -> ScoredPart:
    """Score the images `indices` with each model, those of the route behind the quality gate."""
    images = store.batch(indices)
    refused, outputs, reference = np.zeros(len(indices), dtype=bool), {}, {}
    if policy is not None:
        route = {name: scorers[name].score for name in STUDENTS}
        others = {_REFERENCE + name: student for name, student in (compared or {}).items()}
        (batch,) = score_batches(policy.gate, separate(images), route | others, len(images))
        refused = batch.refused
        reference = {name: np.asarray(batch.outputs[_REFERENCE + name].score) for name in compared or {}}
        outputs = {name: _seen(batch.outputs[name]) for name in route}
    outputs |= {name: _seen(scorer.score(images)) for name, scorer in scorers.items() if name not in outputs}
    variants = {
        name: {key: np.asarray(variant(images).score) for key, variant in scorer.variants.items()}
        for name, scorer in scorers.items()
        if scorer.variants
    }
    return ScoredPart(refused, outputs, reference, variants)


def _seen(output: Any) -> Seen:
    return Seen(np.asarray(output.score), output.map)


def upsample(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (B, h, w) bilinearly enlarged to (B, size, size), half-pixel centres."""
    tensor = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32))[:, None]
    return functional.interpolate(tensor, size=(size, size), mode="bilinear", align_corners=False)[
        :, 0
    ].numpy()


def _count_pixels(
    found: TestScores,
    store: ImageStore,
    part: slice,
    maps: Mapping[str, np.ndarray],
    policy: RoutingPolicy | None,
    references: Mapping[str, float] | None,
) -> None:
    masks, known = _masks(store, found.indices[part], found.labels[part])
    large = {name: upsample(one_map, store.size) for name, one_map in maps.items()}
    for name, values in large.items():
        _count(found, name, values, masks, part.start, known)
    if policy is None or references is None:
        return
    routes = found.route[part].under(policy).routes
    routed = np.where(
        (routes == "full")[:, None, None],
        large["full"] / np.float32(references["full"]),
        large["lowres"] / np.float32(references["lowres"]),
    )
    _count(found, "routed", routed, masks, part.start, known & (routes != "none"))


def _count(
    found: TestScores, name: str, maps: np.ndarray, masks: np.ndarray, start: int, kept: np.ndarray
) -> None:
    found.pixels.setdefault(name, PixelHistograms()).update(maps[kept], masks[kept])
    found.pixel_rows.setdefault(name, []).extend((start + np.flatnonzero(kept)).tolist())


def _masks(store: ImageStore, indices: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (B, S, S), all clear for normals, and whether each image's pixels are known at all (B,)."""
    masks = np.zeros((len(indices), store.size, store.size), dtype=bool)
    known = labels == 0
    for row, (index, label) in enumerate(zip(indices, labels, strict=True)):
        mask = store.mask(int(index)) if label == 1 else None
        if mask is not None:
            masks[row], known[row] = mask, True
    return masks, known
