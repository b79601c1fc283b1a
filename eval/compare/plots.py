"""Differences from the reference with their intervals, as inline SVG."""

from matplotlib.axes import Axes

from eval.compare.findings import Comparison
from eval.metrics import PairedDifference
from eval.pages.svg import canvas, to_svg
from eval.pages.theme import SERIES, STAND_INS


def difference_plot(found: Comparison, metric: str, title: str, in_points: bool) -> str | None:
    """One line a run and model: the difference as a dot, its 95 % interval as a bar, 0 marked; None without any.

    Args:
        in_points: The metric is a share, drawn in percentage points.
    """
    rows = [
        (run, model, differences.models[model][metric])
        for run, differences in found.differences.items()
        for model in SERIES
        if metric in differences.models.get(model, {})
    ]
    if not rows:
        return None
    factor = 100.0 if in_points else 1.0
    with canvas(f"difference-{metric}") as (figure, axes):
        figure.set_size_inches(5.4, 1.3 + 0.3 * len(rows))
        for place, (_, model, difference) in enumerate(rows):
            _draw(axes, place, difference, factor, STAND_INS[SERIES[model].variable])
        axes.axvline(0, color=STAND_INS["muted"], linewidth=1)
        several = len(found.differences) > 1
        axes.set_yticks(
            range(len(rows)),
            [f"{run}: {SERIES[model].label}" if several else SERIES[model].label for run, model, _ in rows],
        )
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        reach = max(max(abs(d.low), abs(d.high)) for _, _, d in rows) * factor
        axes.set_xlim(-1.1 * reach or -1.0, 1.1 * reach or 1.0)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel("percentage points" if in_points else "difference")
        return to_svg(figure, f"Differences in {title}")


def _draw(axes: Axes, place: int, difference: PairedDifference, factor: float, colour: str) -> None:
    low, middle, high = (factor * end for end in (difference.low, difference.difference, difference.high))
    axes.plot([low, high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot([middle], [place], "o", color=colour if difference.is_clear else STAND_INS["paper"], markersize=6.5,
              markeredgecolor=colour, markeredgewidth=1.6)  # fmt: skip
