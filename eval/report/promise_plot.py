"""What calibration promises about escalation, and what the test images did."""

import numpy as np

from eval.pages.svg import canvas, to_svg
from eval.pages.theme import STAND_INS
from eval.report.plots import in_percent
from eval.results import RoutingResult
from router.bounds import exceedance_interval

_HIGHEST = 0.3
CONFIDENCE = 0.95


def promise_plot(
    routing: RoutingResult, labels: np.ndarray, calibration_z: np.ndarray, budget: tuple[float, float]
) -> str:
    """Share of normals above each threshold: expected from calibration with its band, and of the test normals.

    The band is that of order statistics (Wilks 1941): at the k-th largest of n calibration scores the share
    of unseen normals above is Beta(k, n + 1 - k). Pointwise, 95 %.

    Args:
        budget: Shares that the tool can afford.
    """
    thresholds, expected, low, high = promise_band(calibration_z)
    test = routing.lowres_standard[(labels == 0) & (routing.routes != "none")]
    test = np.sort(test[np.isfinite(test)])[::-1]
    with canvas("promise") as (figure, axes):
        colour, muted, ink = STAND_INS["m-lowres"], STAND_INS["muted"], STAND_INS["ink"]
        axes.axhspan(*budget, color=muted, alpha=0.14, linewidth=0)
        axes.fill_between(thresholds, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(thresholds, expected, color=colour, linewidth=2.0)
        shares = np.arange(1, len(test) + 1) / max(len(test), 1)
        axes.plot(test, shares, "o", color=STAND_INS["normal"], markersize=4, clip_on=True)
        axes.axvline(routing.escalate_above, color=ink, linewidth=1.1, linestyle=(0, (4, 2)))
        drawn = thresholds[expected <= _HIGHEST]
        left = float(min(drawn.min(), routing.escalate_above))
        right = float(max(thresholds.max(), routing.escalate_above))
        room = 0.06 * (right - left)
        axes.set(xlim=(left, right + room), ylim=(0, _HIGHEST))
        axes.text(
            routing.escalate_above + 0.012 * (right - left),
            0.985 * _HIGHEST,
            "chosen",
            va="top",
            fontsize=10.5,
        )
        axes.set(xlabel="escalation threshold (standardised score)", ylabel="normal images above it")
        axes.set_yticks(np.arange(0, _HIGHEST + 1e-9, 0.05))
        in_percent(axes)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        return to_svg(figure, "Escalation promised and seen")


def promise_band(calibration_z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds falling, the expected share above each, and the lower and upper end of the 95 % band, each (n,)."""
    scores = np.sort(calibration_z[np.isfinite(calibration_z)])[::-1]
    count = len(scores)
    bounds = np.array([exceedance_interval(order, count, CONFIDENCE) for order in range(1, count + 1)])
    return scores, np.arange(1, count + 1) / (count + 1), bounds[:, 0], bounds[:, 1]
