"""From a model's scores to its line in the report."""

import numpy as np

from eval.latency import Latency
from eval.metrics import (
    Interval,
    PixelHistograms,
    bootstrap_intervals,
    fnr_at_fpr,
    image_auprc,
    image_auroc,
    per_type_auroc,
    per_type_fnr_at_fpr,
    per_type_intervals,
)
from eval.metrics.bootstrap import Metric
from eval.results import ModelResult
from wafer_data.errors import InputError

IMAGE_METRICS: dict[str, Metric] = {
    "image_auroc": image_auroc,
    "image_auprc": image_auprc,
    "fnr_at_fpr5": fnr_at_fpr,
}


def measure_model(
    name: str,
    scores: np.ndarray,
    labels: np.ndarray,
    types: list[str],
    pixels: PixelHistograms | None,
    *,
    parameters: int,
    input_size: int,
    latency: Latency | None,
    engine: str,
    bootstrap: int,
    seed: int,
) -> ModelResult:
    """All metrics that the test set allows, with their intervals; the others stay None.

    Raises `InputError` for NaN scores, naming the model.
    """
    if np.isnan(scores).any():
        raise InputError(
            f"model {name}: {np.isnan(scores).sum()} of {len(scores)} test scores are NaN; train it again"
        )
    both_classes = bool((labels == 0).any() and (labels == 1).any())
    values: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    if both_classes:
        values = {key: metric(labels, scores) for key, metric in IMAGE_METRICS.items()}
        intervals = bootstrap_intervals(IMAGE_METRICS, labels, scores, bootstrap, seed)
    if pixels:
        intervals |= pixels.intervals(n=bootstrap, seed=seed)
    return ModelResult(
        name=name,
        parameters=parameters,
        input_size=input_size,
        scores=scores,
        image_auroc=values.get("image_auroc"),
        image_auprc=values.get("image_auprc"),
        fnr_at_fpr5=values.get("fnr_at_fpr5"),
        pixel_auroc=pixels.auroc() if pixels else None,
        pixel_aupro=pixels.aupro() if pixels else None,
        per_type=per_type_auroc(labels, scores, types) if both_classes else {},
        per_type_fnr_at_fpr5=per_type_fnr_at_fpr(labels, scores, types) if both_classes else {},
        intervals=intervals,
        per_type_intervals=per_type_intervals(labels, scores, types, bootstrap, seed) if both_classes else {},
        latency=latency,
        engine=engine,
    )
