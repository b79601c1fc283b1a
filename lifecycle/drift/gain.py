"""A lamp's gain moves brightness and contrast by the same step, whatever lots do to them.

So the gain is estimated from all three figures of the appearance together: the weights that leave such a step as it
is and all else as small as the fab's own lots allow (generalised least squares). Where lots differ in brightness and
not in contrast, or in both by different amounts, this tells a lamp from a lot earlier than either figure alone.
"""

from __future__ import annotations

import numpy as np

# of the logarithms of brightness, contrast and sharpness
_STEP = np.array([1.0, 1.0, 0.0])
_PLAIN = np.array([0.5, 0.5, 0.0])
_LEAST_FREEDOM, _RIDGE = 30, 0.01


def gain_weights(residuals: np.ndarray, freedom: int) -> np.ndarray:
    """Weights of log brightness, log contrast and log sharpness, (3,); the first two sum to 1.

    Args:
        residuals: (U, 3) units of all streams, each less its own stream's mean; NaN rows say nothing.
        freedom: Degrees of freedom that they have. With few the plain mean of the first two is taken.
    """
    known = residuals[np.isfinite(residuals).all(1)]
    if freedom < _LEAST_FREEDOM or len(known) < _LEAST_FREEDOM:
        return _PLAIN
    covariance = known.T @ known / freedom
    spread = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
    scaled = covariance / np.outer(spread, spread) + _RIDGE * np.eye(3)
    weighted = np.linalg.solve(scaled, _STEP / spread) / spread
    return np.asarray(weighted / (weighted @ _STEP))
