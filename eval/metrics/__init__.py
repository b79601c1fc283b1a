"""Detection metrics. Scores follow one convention throughout: the larger, the more anomalous the image or pixel."""

from eval.metrics.binomial import clopper_pearson, clopper_pearson_upper, samples_to_certify
from eval.metrics.bootstrap import (
    Interval,
    PairedDifference,
    bootstrap_draws,
    bootstrap_interval,
    bootstrap_intervals,
    paired_bootstrap,
    per_type_intervals,
)
from eval.metrics.image import (
    fnr_at_fpr,
    image_auprc,
    image_auroc,
    per_type_auroc,
    per_type_fnr_at_fpr,
    roc_curve,
    threshold_at_fpr,
)
from eval.metrics.pixel import PixelHistograms, pixel_aupro, pixel_auroc

__all__ = [
    "Interval",
    "PairedDifference",
    "PixelHistograms",
    "bootstrap_draws",
    "bootstrap_interval",
    "bootstrap_intervals",
    "clopper_pearson",
    "clopper_pearson_upper",
    "fnr_at_fpr",
    "image_auprc",
    "image_auroc",
    "paired_bootstrap",
    "per_type_auroc",
    "per_type_fnr_at_fpr",
    "per_type_intervals",
    "pixel_aupro",
    "pixel_auroc",
    "roc_curve",
    "samples_to_certify",
    "threshold_at_fpr",
]
