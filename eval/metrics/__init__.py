"""Detection metrics. Scores follow one convention throughout: the larger, the stranger the image or pixel."""

from eval.metrics.binomial import clopper_pearson, clopper_pearson_upper, samples_to_certify
from eval.metrics.bootstrap import bootstrap_interval
from eval.metrics.image import (
    fnr_at_fpr,
    image_auprc,
    image_auroc,
    per_type_auroc,
    roc_curve,
    threshold_at_fpr,
)
from eval.metrics.pixel import PixelHistograms, pixel_aupro, pixel_auroc

__all__ = [
    "PixelHistograms",
    "bootstrap_interval",
    "clopper_pearson",
    "clopper_pearson_upper",
    "fnr_at_fpr",
    "image_auprc",
    "image_auroc",
    "per_type_auroc",
    "pixel_aupro",
    "pixel_auroc",
    "roc_curve",
    "samples_to_certify",
    "threshold_at_fpr",
]
