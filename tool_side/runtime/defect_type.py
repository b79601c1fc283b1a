"""Types and places of a flagged image's defects: the bundle's classifier on what the full student computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classify.features import Seen, measure
from classify.model import TypeClassifier, Verdict
from wafer_data.defect import UNKNOWN, DefectFinding
from wafer_data.errors import InputError
from wafer_map.geometry import Region, find_regions

DEFECT, DEFECTS = "defect", "defects"
"""Names among an inspection's evidence: the strongest defect, and all that were found, the strongest first."""
MOST = 16
"""Defects of an image that are named: a heat map that shows more shows no single defects."""


def strongest_features(seen: Seen, reference: float) -> np.ndarray:
    """The features (f,) of an image's strongest defect: what its label is taken to speak of."""
    regions = find_regions(seen.heat, reference, seen.image.shape[:-3:-1], most=1, at_least_one=True)
    return defect_features(seen, regions, reference)[0]


def defect_features(seen: Seen, regions: Sequence[Region], reference: float) -> np.ndarray:
    """`classify.features.measure`, silent about values that are not finite: the classifier says what follows."""
    with np.errstate(all="ignore"):
        return measure(seen, [(row, column) for _, row, column in regions], reference)


def describe(
    classes: TypeClassifier | None,
    seen: Seen,
    reference: float,
    size: tuple[int, int],
    pixel_um: tuple[float, float] | None = None,
) -> list[DefectFinding]:
    """The defects of an image, each with its own type, the strongest first; at least one.

    Never raises: what goes wrong here must not cost the decision that stands already. The type is then "unknown".

    Args:
        classes: None: every type is "unknown".
        seen: The image as the full student saw it. reference: Its `map_reference`.
        size: (width, height) of the image as it was decoded, pixels: the unit of the boxes.
        pixel_um: Width and height of a pixel in micrometres, where known.
    """
    try:
        regions = find_regions(seen.heat, reference, size, pixel_um=pixel_um, most=MOST, at_least_one=True)
    except InputError:
        return [_named(whole_image(size), _nothing(classes))]
    try:
        verdicts = []
        if classes is not None:
            verdicts = [classes.classify(one) for one in defect_features(seen, regions, reference)]
    except (ValueError, IndexError, ArithmeticError):
        verdicts = []
    verdicts = verdicts or [_nothing(classes)] * len(regions)
    return [_named(region[0], verdict) for region, verdict in zip(regions, verdicts, strict=True)]


def _nothing(classes: TypeClassifier | None) -> Verdict:
    return Verdict(UNKNOWN, None, {}, () if classes is None else (*classes.types, UNKNOWN), 0.0)


def _named(finding: DefectFinding, verdict: Verdict) -> DefectFinding:
    return finding.with_(
        type=verdict.type,
        probability=verdict.probability,
        probabilities=verdict.probabilities,
        set=verdict.set,
        typicality=verdict.typicality if verdict.set else None,
    )


def whole_image(size: tuple[int, int]) -> DefectFinding:
    """A defect of which nothing is known but the image that it is in: (width, height) in pixels."""
    width, height = size
    return DefectFinding(
        box=(0, 0, width, height), center=(width / 2, height / 2), area=width * height, length=width, width=height,
        faint=True,
    )  # fmt: skip
