"""One pass over the test images: every model's scores, pixel histograms, and the routed system's, in bounded
memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from eval.metrics import PixelHistograms
from eval.routing import decide
from eval.scorers import Scorer
from router.gate import measure_quality
from router.policy import RoutingPolicy
from wafer_data.progress import track
from wafer_data.store import ImageStore

ROUTED = ("lowres", "full")


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
    pixels: dict[str, PixelHistograms] = field(default_factory=dict)
    """By model name; only for models with maps, and only if some test defect has a mask."""
    pixel_rows: dict[str, list[int]] = field(default_factory=dict)
    """Which test images `pixels` counted, in its order, by model name."""
    variants: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """Scores (N,) of the other settings of a baseline, by its name and theirs."""


def score_test_images(
    store: ImageStore,
    scorers: Mapping[str, Scorer],
    policy: RoutingPolicy | None,
    references: Mapping[str, float] | None,
    batch_size: int,
) -> TestScores:
    """Score every test image once with each model.

    `references` holds, for "lowres" and "full", the map value that 1 in 1000 calibration pixels exceeds. With
    it the routed system's pixels, which come from either model, are counted on one scale. Images that the
    gate refuses have no routed map and are left out of the routed pixels; defects without a mask are left out
    of all pixel counts.
    """
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
    found = TestScores(
        indices, labels, [record.type for record in records], scores, refused, variants=variants
    )
    for start in track(range(0, len(indices), batch_size), "scoring test images"):
        part = slice(start, start + batch_size)
        images = store.batch(indices[part])
        maps: dict[str, np.ndarray] = {}
        judged = images if policy is None else np.stack([policy.gate.cleaned(i[0])[None] for i in images])
        for name, scorer in scorers.items():
            # the route's students see what they see on the tool: masked pixels at their constant
            scores[name][part], one_map = scorer.score(judged if name in ROUTED else images)
            if one_map is not None and with_masks:
                maps[name] = one_map
            for key, variant in scorer.variants.items():
                variants[name][key][part] = variant(images)[0]
        if policy is not None:
            refused[part] = [bool(policy.gate.reasons(measure_quality(image[0]))) for image in images]
        if with_masks:
            _count_pixels(found, store, part, maps, policy, references)
    return found


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
    refused = found.refused[part]
    _, escalated, _ = decide(policy, found.scores["lowres"][part], found.scores["full"][part], refused)
    routed = np.where(
        escalated[:, None, None],
        large["full"] / np.float32(references["full"]),
        large["lowres"] / np.float32(references["lowres"]),
    )
    _count(found, "routed", routed, masks, part.start, known & ~refused)


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
