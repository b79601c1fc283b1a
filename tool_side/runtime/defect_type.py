"""The type and place of a flagged image's defect: the bundle's classifier on what the full student computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from classify.features import measure
from classify.model import TypeClassifier, Verdict
from wafer_data.defect import UNKNOWN, DefectFinding
from wafer_data.errors import InputError
from wafer_map.geometry import find_defects

DEFECT = "defect"
"""Its name among an inspection's evidence."""


def defect_features(image: np.ndarray, heat: np.ndarray, latent: np.ndarray, reference: float) -> np.ndarray:
    """`classify.features.measure`, silent about values that are not finite: the classifier says what follows."""
    with np.errstate(all="ignore"):
        return measure(image, heat, latent, reference)


def describe(
    classes: TypeClassifier,
    image: np.ndarray,
    heat: np.ndarray,
    latent: np.ndarray,
    reference: float,
    size: tuple[int, int],
) -> dict[str, Any]:
    """The strongest defect of an image, JSON-ready: `DefectFinding.to_dict` and the classifier's `typicality`.

    Never raises: what goes wrong here must not cost the decision that stands already. The type is then "unknown".

    Args:
        image: The full student's input, float32 (S, S) in [0, 1].
        heat: Its heat map (h, w). latent: Its latent (k,). reference: Its `map_reference`.
        size: (width, height) of the image as it was decoded, pixels: the unit of the box.
    """
    try:
        finding = find_defects(heat, reference, size, most=1, at_least_one=True)[0]
    except InputError:
        finding = _whole(size)
    try:
        verdict = classes.classify(defect_features(image, heat, latent, reference))
    except (ValueError, IndexError, ArithmeticError):
        verdict = Verdict(UNKNOWN, None, {}, (*classes.types, UNKNOWN), 0.0)
    known = finding.with_(
        type=verdict.type,
        probability=verdict.probability,
        probabilities=verdict.probabilities,
        set=verdict.set,
    )
    return known.to_dict() | {"typicality": verdict.typicality}


def _whole(size: tuple[int, int]) -> DefectFinding:
    width, height = size
    return DefectFinding(
        box=(0, 0, width, height), center=(width / 2, height / 2), area=width * height, length=width, width=height,
        faint=True,
    )  # fmt: skip
