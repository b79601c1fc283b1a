"""The report's plots, each a function from results to inline SVG."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from eval.metrics import clopper_pearson, roc_curve
from eval.pages.svg import canvas, to_svg
from eval.pages.theme import SERIES, STAND_INS
from eval.results import Evaluation, RoutingResult

_NORMAL, _DEFECT = STAND_INS["normal"], STAND_INS["defect"]
_BASELINES = ("pca", "gabor_lbp_ocsvm", "pixel_vae")
_INK, _MUTED, _PAPER = STAND_INS["ink"], STAND_INS["muted"], STAND_INS["paper"]


def roc_plot(evaluation: Evaluation, limit: float = 1.0) -> str:
    """ROC curves of all models up to a false-positive rate of `limit`; 5 % marked."""
    zoomed = limit < 1.0
    title = f"ROC curves up to {limit:.0%} false alarms" if zoomed else "ROC curves"
    with canvas(f"roc-{limit}") as (figure, axes):
        visible = []
        for name in reversed(list(evaluation.models)):
            style = SERIES[name]
            fpr, tpr = roc_curve(evaluation.labels, evaluation.models[name].scores)
            if name not in _BASELINES:
                visible.append(float(tpr[np.searchsorted(fpr, 0.01, side="right") - 1]))
            axes.plot(
                fpr,
                tpr,
                color=STAND_INS[style.variable],
                linewidth=style.width,
                dashes=style.dash or (None, None),
                drawstyle="steps-post",
            )
        axes.axvline(0.05, color=_MUTED, linewidth=1, linestyle=":")
        if not zoomed:
            axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8)
        # The zoom shows the product from 1 % on; a weak baseline would squeeze it into the top of the frame.
        bottom = max(0.0, np.floor(min(visible) * 10 - 0.5) / 10) if zoomed and visible else 0.0
        axes.set(xlim=(-0.005 * limit, limit), ylim=(bottom, 1.0 + 0.01 * (1 - bottom)))
        axes.text(0.05 + 0.012 * limit, bottom + 0.03 * (1 - bottom), "5 %", color=_MUTED)
        axes.set(xlabel="false alarms (share of normal images)", ylabel="defects found")
        if zoomed:
            axes.set_xticks(np.arange(0, limit + 1e-9, 0.05))
        in_percent(axes)
        return to_svg(figure, title)


def histogram_plot(
    labels: np.ndarray, standard: np.ndarray, thresholds: dict[str, float | None], what: str
) -> str:
    """Shares of normals and defects by standardised score, with thresholds.

    The unit is robust standard deviations of the normals' log-scores.
    """
    with canvas(f"histogram-{what}") as (figure, axes):
        finite = standard[np.isfinite(standard)]
        marks = [value for value in thresholds.values() if value is not None]
        low, high = float(min(finite.min(), *marks)), float(max(finite.max(), *marks))
        edges = np.linspace(low - 1e-9, high + 1e-9 + 0.02 * (high - low), 42)
        for label, colour in ((0, _NORMAL), (1, _DEFECT)):
            values = standard[(labels == label) & np.isfinite(standard)]
            if len(values) == 0:
                continue
            shares = np.histogram(values, edges)[0] / len(values)
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.35, linewidth=0)
            axes.stairs(shares, edges, color=colour, linewidth=1.4)
        top = axes.get_ylim()[1] * 1.16
        axes.set_ylim(0, top)
        for line, (name, value) in enumerate(thresholds.items()):
            if value is None:
                continue
            axes.axvline(value, color=_INK, linewidth=1.1, linestyle=(0, (4, 2)))
            left = value > low + 0.65 * (high - low)
            axes.text(
                value + (-0.01 if left else 0.01) * (high - low),
                top * (0.985 - 0.075 * line),
                name,
                ha="right" if left else "left",
                va="top",
                fontsize=10,
            )
        axes.set(xlabel="standardised score", ylabel="share of each class in a bin")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        return to_svg(figure, f"Score histogram, {what}")


def routing_plot(routing: RoutingResult, defects: int) -> str:
    """Missed defects against escalated normals for every escalation threshold, the policy's own marked.

    The band is the pointwise exact 95 % interval that `defects` test defects carry (Clopper & Pearson 1934).
    """
    with canvas("routing") as (figure, axes):
        missed = np.rint(routing.curve_missed * defects).astype(int)
        bounds = {count: clopper_pearson(int(count), defects) for count in np.unique(missed)}
        axes.fill_between(
            routing.curve_escalation,
            [bounds[count][0] for count in missed],
            [bounds[count][1] for count in missed],
            step="post",
            color=STAND_INS["m-routed"],
            alpha=0.16,
            linewidth=0,
        )
        axes.plot(
            routing.curve_escalation,
            routing.curve_kept,
            color=STAND_INS["m-lowres"],
            linewidth=1.3,
            dashes=(3, 1.5),
            drawstyle="steps-post",
        )
        axes.plot(
            routing.curve_escalation,
            routing.curve_missed,
            color=STAND_INS["m-routed"],
            linewidth=2.4,
            drawstyle="steps-post",
        )
        # Escalating a third of the images defeats the purpose: the rest of the axis would only squeeze this
        # part.
        share = routing.escalation_rate_normal or 0.0
        right = max(0.3, 1.5 * share)
        axes.axvspan(0.05, 0.08, color=_MUTED, alpha=0.14, linewidth=0)
        if routing.fnr is not None:
            axes.plot(
                share, routing.fnr, "o", color=STAND_INS["m-routed"], markersize=9, clip_on=False, zorder=5
            )
            axes.annotate(
                f"chosen: {100 * share:.1f} % escalated,\n{100 * routing.fnr:.1f} % missed",
                (share, routing.fnr),
                xytext=(14 if share < 0.55 * right else -14, 22),
                textcoords="offset points",
                ha="left" if share < 0.55 * right else "right",
                fontsize=10.5,
            )
        # Escalating next to nothing misses nearly everything: that spike at the left would flatten the rest.
        visible = routing.curve_missed[
            (routing.curve_escalation >= 0.01) & (routing.curve_escalation <= right)
        ]
        top = min(1.02, max([0.1, 2.2 * (routing.fnr or 0), *(1.1 * visible)]))
        axes.set(xlim=(-0.004, right), ylim=(-0.012 * top, top))
        axes.set(xlabel="normal images escalated to the full student", ylabel="defects missed")
        in_percent(axes)
        return to_svg(figure, "Routing curve")


def in_percent(axes: Axes) -> None:
    """Both axes in whole per cent, at steps that whole per cents can name."""
    for axis in (axes.xaxis, axes.yaxis):
        locator = axis.get_major_locator()
        if isinstance(locator, MaxNLocator):
            locator.set_params(steps=[1, 2, 5, 10])
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
