"""Types and places of a flagged image's defects: the bundle's classifier on what the full student computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from classify.crops import Look, measure_crops, measure_views
from classify.features import Seen, measure
from classify.model import TypeClassifier, Verdict
from wafer_data.defect import UNKNOWN, DefectFinding
from wafer_data.errors import InputError
from wafer_map.geometry import Region, find_regions

DEFECT, DEFECTS = "defect", "defects"
"""Names among an inspection's evidence: the strongest defect, and all that were found, the strongest first."""
MOST = 16
"""Defects of an image that are named: a heat map that shows more shows no single defects."""


class Types(NamedTuple):
    """What tells types: a classifier, and the backbone that looks at crops for it, where it was learned from these."""

    classes: TypeClassifier
    look: Look | None = None


def strongest_features(seen: Seen, reference: float, look: Look | None = None) -> np.ndarray:
    """The features (f,) of an image's strongest defect: what its label is taken to speak of."""
    return defect_features(seen, _strongest(seen, reference), reference, look)[0]


def strongest_views(seen: Seen, reference: float, look: Look) -> np.ndarray:
    """The same of the defect and of its turned and mirrored copies, (v, f), itself first."""
    ((_, row, column),) = _strongest(seen, reference)
    return measure_views(seen, (row, column), reference, look)


def _strongest(seen: Seen, reference: float) -> list[Region]:
    return find_regions(seen.heat, reference, seen.image.shape[:-3:-1], most=1, at_least_one=True)


def defect_features(
    seen: Seen, regions: Sequence[Region], reference: float, look: Look | None = None
) -> np.ndarray:
    """What is measured of each defect, (n, f), silent about values that are not finite: the classifier says so."""
    defects = [(row, column) for _, row, column in regions]
    with np.errstate(all="ignore"):
        if look is not None:
            return measure_crops(seen, defects, reference, look)
        return measure(seen, defects, reference)


def describe(
    types: Types | None,
    seen: Seen,
    reference: float,
    size: tuple[int, int],
    pixel_um: tuple[float, float] | None = None,
) -> list[DefectFinding]:
    """The defects of an image, each with its own type, the strongest first; at least one.

    Never raises: what goes wrong here must not cost the decision that stands already. The type is then "unknown".

    Args:
        types: None: every type is "unknown".
        seen: The image as the full student saw it. reference: Its `map_reference`.
        size: (width, height) of the image as it was decoded, pixels: the unit of the boxes.
        pixel_um: Width and height of a pixel in micrometres, where known.
    """
    try:
        regions = find_regions(seen.heat, reference, size, pixel_um=pixel_um, most=MOST, at_least_one=True)
    except InputError:
        return [_named(whole_image(size), _nothing(types))]
    try:
        verdicts = []
        if types is not None:
            found = defect_features(seen, regions, reference, types.look)
            verdicts = [types.classes.classify(one) for one in found]
    except Exception:  # onnxruntime's exceptions share no base class but this one
        verdicts = []
    verdicts = verdicts or [_nothing(types)] * len(regions)
    return [_named(region[0], verdict) for region, verdict in zip(regions, verdicts, strict=True)]


def _nothing(types: Types | None) -> Verdict:
    return Verdict(UNKNOWN, None, {}, () if types is None else (*types.classes.types, UNKNOWN), 0.0)


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
