"""Baselines that a distilled model has to beat, fitted on normal images only.

Each `fit_*` takes the training normals as batches of shape (B, 1, S, S), float in [0, 1], and gives a
`Baseline`.
"""

from eval.baselines.base import Baseline
from eval.baselines.gabor_lbp import fit_gabor_lbp_ocsvm
from eval.baselines.pca import fit_pca
from eval.baselines.pixel_vae import PixelVaeBaseline, fit_pixel_vae

__all__ = ["Baseline", "PixelVaeBaseline", "fit_gabor_lbp_ocsvm", "fit_pca", "fit_pixel_vae"]
