"""Types and places of a flagged image's defects: the bundle's classifier on what the full student computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from classify.crops import PLACES, Look, Place, look_at, peaks
from classify.features import Seen, measure
from classify.model import TypeClassifier, Verdict
from wafer_data.defect import UNKNOWN, DefectFinding
from wafer_data.errors import InputError
from wafer_map.geometry import Region, faint_region, find_regions

DEFECT, DEFECTS = "defect", "defects"
"""Names among an inspection's evidence: the strongest defect, and all that were found, the strongest first."""
MOST = 16
"""Defects of an image that are named: a heat map that shows more shows no single defects."""


class Types(NamedTuple):
    """What tells types: a classifier, and the backbone that looks at crops for it, where it was learned from these."""

    classes: TypeClassifier
    look: Look | None = None


Told = tuple[Region, Verdict]


def strongest_features(seen: Seen, reference: float) -> np.ndarray:
    """The features (f,) of an image's strongest defect, from what the full student computed."""
    regions = find_regions(seen.heat, reference, seen.image.shape[:-3:-1], most=1, at_least_one=True)
    return defect_features(seen, regions, reference)[0]


def defect_features(seen: Seen, regions: Sequence[Region], reference: float) -> np.ndarray:
    """`classify.features.measure`, silent about values that are not finite: the classifier says what follows."""
    with np.errstate(all="ignore"):
        return measure(seen, [(row, column) for _, row, column in regions], reference)


def describe(
    types: Types | None,
    seen: Seen,
    reference: float,
    size: tuple[int, int],
    pixel_um: tuple[float, float] | None = None,
) -> list[DefectFinding]:
    """The defects of an image, each with its own type, the strongest first; at least one.

    Where the classifier knows what no defect looks like, the first is the one that looks least like that among the
    highest places of the map.

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
    told: list[Told] = []
    try:
        if types is not None and types.look is not None:
            told = _by_crops(types.classes, types.look, seen, regions, (reference, size, pixel_um))
        elif types is not None:
            found = defect_features(seen, regions, reference)
            told = [(region, types.classes.classify(one)) for region, one in zip(regions, found, strict=True)]
    except Exception:  # onnxruntime's exceptions share no base class but this one
        told = []
    told = told or [(region, _nothing(types)) for region in regions]
    return [_named(region[0], verdict) for region, verdict in told]


def _by_crops(
    classes: TypeClassifier,
    look: Look,
    seen: Seen,
    regions: list[Region],
    frame: tuple[float, tuple[int, int], tuple[float, float] | None],
) -> list[Told]:
    """The regions and their types, that of the most telling place first, which may be one that no region holds."""
    places = peaks(seen.heat, PLACES if classes.nothing is not None else 1, seen.image.shape[-1])
    looks = look_at(seen.image, seen.heat, places, look)
    best = classes.most_telling(looks)
    reference, size, pixel_um = frame
    first = next((region for region in regions if _holds(region, places[best])), None)
    if first is None:
        first = faint_region(seen.heat, reference, size, places[best], pixel_um=pixel_um)
    others = [region for region in regions if region is not first][: MOST - 1]
    seen_at = dict(zip(places, looks, strict=True))
    highest = [(int(row[0]), int(column[0])) for _, row, column in others]
    if further := [place for place in highest if place not in seen_at]:
        seen_at |= zip(further, look_at(seen.image, seen.heat, further, look), strict=True)
    verdicts = [classes.classify(seen_at[place]) for place in (places[best], *highest)]
    return list(zip((first, *others), verdicts, strict=True))


def _holds(region: Region, place: Place) -> bool:
    return bool(((region[1] == place[0]) & (region[2] == place[1])).any())


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
