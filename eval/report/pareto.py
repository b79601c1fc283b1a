"""Accuracy against time: one point a model."""

import numpy as np
from matplotlib.axes import Axes

from eval.pages.svg import canvas, to_svg
from eval.pages.theme import SERIES, STAND_INS
from eval.results import Evaluation

# Beyond this the sample cannot tell an AUROC from 1, which a logarithm cannot show.
_BEST = 0.9995
# The first ones stay when there is no room for all.
TICKS = (
    0.9,
    0.99,
    0.999,
    0.5,
    0.95,
    0.995,
    0.98,
    0.998,
    0.8,
    0.7,
    0.6,
    0.97,
    0.985,
    0.988,
    0.992,
    0.993,
    0.987,
    0.986,
)

Box = tuple[float, float, float, float]


def latency_plot(evaluation: Evaluation, budget_ms: float) -> str:
    """Image AUROC against median latency of every model that has both.

    Both axes are logarithmic, AUROC by its distance to 1.
    """
    points = [
        (model.latency.p50, height(model.image_auroc), name)
        for name, model in evaluation.models.items()
        if model.latency is not None and model.image_auroc is not None
    ]
    with canvas("latency") as (figure, axes):
        times, heights = [p[0] for p in points], [p[1] for p in points]
        room = 0.14 * max(max(heights) - min(heights), 0.3)
        axes.set(
            xscale="log",
            xlim=(min([*times, 0.5]) / 2, max([*times, budget_ms]) * 2.5),
            ylim=(min(heights) - room, max(heights) + room),
            xlabel="median time for one image, one thread (ms)",
            ylabel="image AUROC",
        )
        low, _ = axes.get_ylim()
        stretch_axes(axes)
        axes.axvline(budget_ms, color=STAND_INS["muted"], linewidth=1, linestyle=":")
        axes.text(budget_ms * 1.08, low + 0.2 * room, f"{budget_ms:g} ms", color=STAND_INS["muted"])
        figure.draw_without_rendering()
        for time, level, name in points:
            axes.plot(
                time,
                level,
                "o",
                color=STAND_INS[SERIES[name].variable],
                markersize=11 if name == "routed" else 7.5,
                markeredgecolor=STAND_INS["paper"],
                zorder=4,
            )
        name_points(axes, points)
        return to_svg(figure, "Accuracy against time")


def stretch_axes(axes: Axes) -> None:
    """Ticks for AUROCs drawn at their `height` on the y axis, and plain numbers on the logarithmic x axis."""
    low, high = axes.get_ylim()
    shown: list[float] = []
    for tick in TICKS:
        distances = [abs(height(tick) - height(other)) for other in shown]
        if low <= height(tick) <= high and min(distances, default=high) > 0.07 * (high - low):
            shown.append(tick)
    axes.set_yticks([height(tick) for tick in shown], [f"{tick:g}" for tick in shown])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(visible=False, axis="x", which="minor")


def height(auroc: float) -> float:
    """Decades between an AUROC and 1: 1 for 0.9, 2 for 0.99."""
    return -float(np.log10(1 - min(auroc, _BEST)))


def name_points(
    axes: Axes, points: list[tuple[float, float, str]], others: list[tuple[float, float]] | None = None
) -> None:
    """Write each model's name beside its point, in the first preferred place where it meets nothing else.

    No other point or name, and none of the marks `others` (time, height).
    """
    unit = axes.figure.dpi / 72
    centres = {name: axes.transData.transform((time, level)) for time, level, name in points}
    marks = [axes.transData.transform(other) for other in others or ()]
    taken: list[Box] = [(x - 6 * unit, y - 6 * unit, x + 6 * unit, y + 6 * unit) for x, y in centres.values()]
    taken += [(x - 3 * unit, y - 3 * unit, x + 3 * unit, y + 3 * unit) for x, y in marks]
    frame: Box = axes.bbox.extents
    for _, _, name in points:
        x, y = centres[name]
        # A letter of 10 points is some 6 points wide in the fonts a browser may choose.
        wide, tall = 6.3 * unit * len(SERIES[name].label), 13.0 * unit
        gap = (11 if name == "routed" else 9) * unit
        places = [
            (side_x, y + lift * tall)
            for lift in (0, 1, -1, 1.5, -1.5, 2, -2, 3, -3, 4, -4)
            for side_x in (
                (x + gap, x - gap - wide) if lift == 0 else (x - wide / 2, x + gap, x - gap - wide)
            )
        ]
        boxes = [(left, middle - tall / 2, left + wide, middle + tall / 2) for left, middle in places]
        free = [box for box in boxes if _inside(box, frame) and not any(_meet(box, other) for other in taken)]
        box = free[0] if free else boxes[0]
        taken.append(box)
        centre = axes.transData.inverted().transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        axes.text(
            centre[0],
            centre[1],
            SERIES[name].label,
            ha="center",
            va="center_baseline",
            fontsize=10,
            color=STAND_INS[SERIES[name].variable],
            fontweight="bold" if name == "routed" else "normal",
        )


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]
