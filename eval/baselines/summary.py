"""What `baselines.json` holds: the curves behind the comparison with simple methods."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.metrics import image_auroc, roc_curve
from eval.training_curve import EpochLosses

# Points of a curve: enough that a plot of it looks like the whole.
_POINTS = 200


def summarise_baselines(
    labels: np.ndarray,
    scores: Mapping[str, np.ndarray],
    variants: Mapping[str, Mapping[str, np.ndarray]],
    curves: Mapping[str, Sequence[EpochLosses]],
) -> dict[str, Any]:
    """The content of `baselines.json`.

    "pca": AUROC and ROC of each number of components. "pixel_vae": its losses by epoch (from 1), null if it
    was not trained. "rocs": the ROC of every model of the report. Without both classes among the labels (N,)
    there are no ROCs.

    Args:
        scores: (N,) by model.
        variants: (N,) by baseline and setting.
    """
    both_classes = bool((labels == 0).any() and (labels == 1).any())
    judged = variants.get("pca", {}) if both_classes else {}
    return {
        "schema": 1,
        "pca": {
            key: {"image_auroc": image_auroc(labels, values), "roc": thin_roc(labels, values)}
            for key, values in judged.items()
        },
        "pixel_vae": {"losses": _losses(curves["pixel_vae"])} if "pixel_vae" in curves else None,
        "rocs": {name: thin_roc(labels, values) for name, values in scores.items()} if both_classes else {},
    }


def thin_roc(labels: np.ndarray, scores: np.ndarray, points: int = _POINTS) -> dict[str, list[float]]:
    """At most `points` points of the ROC curve as {"fpr": [...], "tpr": [...]}, rising, both ends among them.

    Every point is one of the curve itself. They are spread evenly over its length, and the best point with at most
    5 % false alarms is always kept.
    """
    fpr, tpr = roc_curve(labels, scores)
    if len(fpr) > points:
        # False alarms by their root: the left end, where inspection works, gets more points.
        length = np.cumsum(np.hypot(np.diff(np.sqrt(fpr), prepend=0.0), np.diff(tpr, prepend=0.0)))
        wanted = np.linspace(0.0, length[-1], points - 1)
        at_limit = int(np.searchsorted(fpr, 0.05 + 1e-12, side="right")) - 1
        kept = np.unique([*np.searchsorted(length, wanted), at_limit, 0, len(fpr) - 1])
        kept = kept[kept < len(fpr)]
        fpr, tpr = fpr[kept], tpr[kept]
    return {"fpr": fpr.tolist(), "tpr": tpr.tolist()}


def _losses(curve: Sequence[EpochLosses]) -> dict[str, list[float]]:
    return {
        "epoch": [row.epoch + 1 for row in curve],
        "total": [row.total for row in curve],
        "reconstruction": [row.bce for row in curve],
        "kl": [row.kl for row in curve],
    }
