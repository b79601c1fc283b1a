"""Learning rate as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math


def one_cycle(step: int, steps: int, peak: float, warmup: float = 0.1) -> float:
    """Cosine rise to `peak` over the first `warmup` share of `steps`, then cosine fall to nearly zero.

    One cycle follows Smith & Topin 2018, "Super-Convergence"; both halves are cosines (Loshchilov & Hutter 2017).

    Args:
        step: 0 to steps - 1.
        steps: length of the whole training.
        peak: largest learning rate.
        warmup: share of steps that rise, in [0, 1).
    """
    rise = warmup * steps
    if step < rise:
        return peak * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
    return peak * (1e-4 + 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise))))
