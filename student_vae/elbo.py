"""The evidence lower bound, term by term (Kingma & Welling 2014, "Auto-Encoding Variational Bayes", eq. 10)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Z = mean + sigma * noise with noise ~ N(0, I): gradients flow through mean and sigma. All (B, k)."""
    return mean + (0.5 * log_variance).exp() * noise


def bernoulli_nll(logits: Tensor, image: Tensor) -> Tensor:
    """-log p(x | z) in nats an image, (B,): binary cross-entropy summed over pixels; image in [0, 1]."""
    return F.binary_cross_entropy_with_logits(logits, image, reduction="none").flatten(1).sum(1)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag sigma^2) || N(0, I)) in nats an image, (B,) (same paper, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1)


def kl_weight(step: int, steps: int, annealing: float, final: float) -> float:
    """Weight of the KL term at a step: rises linearly from 0 over the first `annealing` share of all steps.

    Without it the KL term can push q(z|x) onto the prior before the decoder has learned to use z
    (posterior collapse; Bowman et al. 2016, "Generating Sentences from a Continuous Space", section 3.1).
    """
    if annealing <= 0:
        return final
    return final * min(1.0, step / (annealing * max(1, steps)))
