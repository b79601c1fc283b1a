"""Image-level metrics: one label and one score an image.

`labels` are 0 (normal) and 1 (defective), `scores` any real numbers, larger = more anomalous; infinite scores are
allowed and only rank. Every function raises `InputError` for NaN scores, unequal lengths, other labels, and
for samples that lack a class it needs.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn import metrics

from wafer_data.errors import InputError


def image_auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a defect scores above a normal image, ties counting half.

    Range [0, 1] (Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic curve",
    Radiology 1982).
    """
    return float(metrics.roc_auc_score(*_ranked(labels, scores)))


def image_auprc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision: sum over distinct thresholds of precision times the recall gained there.

    Range (0, 1]. Images with equal scores are flagged together, so the order of ties does not matter. Its
    value for random scores is the share of defects in the sample: compare it only on the same images.
    """
    return float(metrics.average_precision_score(*_ranked(labels, scores)))


def threshold_at_fpr(normal_scores: ArrayLike, fpr: float = 0.05) -> float:
    """The smallest threshold t for which at most a share `fpr` of the normal images has a score > t.

    An image is flagged when its score is strictly above t, so normals tied at t are never flagged and the
    false-positive rate stays within its limit however many ties there are. `fpr` in [0, 1], -inf for 1.
    """
    if not 0.0 <= fpr <= 1.0:
        raise InputError(f"the false-positive rate must lie between 0 and 1, not {fpr}")
    normal = _checked(normal_scores)
    if len(normal) == 0:
        raise InputError("a threshold at a false-positive rate needs at least one normal image")
    # The small term keeps products such as 0.29 * 100 = 28.999... from losing an image to rounding.
    allowed = math.floor(fpr * len(normal) + 1e-9)
    if allowed >= len(normal):
        return -math.inf
    return float(np.sort(normal)[len(normal) - 1 - allowed])


def fnr_at_fpr(labels: ArrayLike, scores: ArrayLike, fpr: float = 0.05) -> float:
    """The share of defects missed when at most a share `fpr` of the normal images is flagged. Range [0, 1].

    The threshold comes from the same normals' scores (`threshold_at_fpr`); a defect tied with it is missed.
    """
    normal, defect = _by_class(labels, scores)
    return float(np.mean(~(defect > threshold_at_fpr(normal, fpr))))


def per_type_auroc(labels: ArrayLike, scores: ArrayLike, types: Sequence[str]) -> dict[str, float]:
    """The image AUROC of each defect type against all normals, by type name in alphabetical order."""
    normal, by_type = _by_type(labels, scores, types)
    return {
        name: image_auroc(np.repeat([0, 1], [len(normal), len(defect)]), np.r_[normal, defect])
        for name, defect in by_type.items()
    }


def per_type_fnr_at_fpr(
    labels: ArrayLike, scores: ArrayLike, types: Sequence[str], fpr: float = 0.05
) -> dict[str, float]:
    """The share of each defect type missed at the one threshold of `fnr_at_fpr`, by type name alphabetically.

    Weighted by the types' counts these shares average to `fnr_at_fpr` of all defects.
    """
    normal, by_type = _by_type(labels, scores, types)
    threshold = threshold_at_fpr(normal, fpr)
    return {name: float(np.mean(~(defect > threshold))) for name, defect in by_type.items()}


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates at every distinct threshold, both rising from 0 to 1, each of shape (T + 1,)."""
    fpr, tpr, _ = metrics.roc_curve(*_ranked(labels, scores), drop_intermediate=False)
    return fpr, tpr


def _ranked(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Labels and the scores' ranks, ties equal, after the checks: scikit-learn takes no infinite score."""
    _by_class(labels, scores)
    return np.asarray(labels), rankdata(scores, method="dense")


def _by_type(
    labels: ArrayLike, scores: ArrayLike, types: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The scores of the normals, and those of each defect type by its name."""
    normal, defect = _by_class(labels, scores)
    if len(types) != len(normal) + len(defect):
        raise InputError(f"{len(types)} types given for {len(normal) + len(defect)} images")
    names = np.asarray(types)[np.asarray(labels) == 1]
    return normal, {str(name): defect[names == name] for name in np.unique(names)}


def _by_class(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The scores of the normals and those of the defects, after the checks the module promises."""
    values, classes = _checked(scores), np.asarray(labels)
    if classes.shape != values.shape:
        raise InputError(f"labels and scores must be of equal length, not {classes.shape} and {values.shape}")
    if not np.isin(classes, (0, 1)).all():
        raise InputError("labels must be 0 (normal) or 1 (defective)")
    normal, defect = values[classes == 0], values[classes == 1]
    if len(normal) == 0 or len(defect) == 0:
        raise InputError(
            "this metric compares two classes, but there are "
            f"{len(normal)} normal and {len(defect)} defective images"
        )
    return normal, defect


def _checked(scores: ArrayLike) -> np.ndarray:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"scores must be one number an image, not an array of shape {values.shape}")
    if np.isnan(values).any():
        first = int(np.flatnonzero(np.isnan(values))[0])
        raise InputError(
            f"{np.isnan(values).sum()} of {len(values)} scores are NaN (the first at index {first})"
        )
    return values
