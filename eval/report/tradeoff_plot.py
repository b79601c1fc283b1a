"""Accuracy against time over all settings of the study, with the front that nothing beats."""

import numpy as np
from matplotlib.axes import Axes

from eval.pages.svg import canvas, to_svg
from eval.pages.theme import SERIES, STAND_INS
from eval.report.pareto import height, name_points, stretch_axes
from eval.tradeoff.points import Point, Study, ThresholdPoint


def tradeoff_plot(study: Study, budget_ms: float) -> str | None:
    """Image AUROC against the typical time an image, every measured setting a mark; None if no accuracy is known.

    Filled: one image at a time, one thread, named. Hollow: other batch sizes and thread counts. Square: another
    precision. Triangle: another run. Small dots on a line: the route at other escalation thresholds.
    """
    points = [point for point in study.points if point.image_auroc is not None]
    line = [point for point in study.thresholds if point.image_auroc is not None]
    if not points:
        return None
    with canvas("tradeoff") as (figure, axes):
        times = [point.typical_ms for point in points] + [point.typical_ms for point in line]
        heights = [height(point.image_auroc or 0) for point in points]
        levels = heights + [height(point.image_auroc or 0) for point in line]
        room = 0.12 * max(max(levels) - min(levels), 0.3)
        axes.set(
            xscale="log",
            xlim=(min(times) / 1.8, max([*times, budget_ms]) * 2.2),
            ylim=(min(levels) - room, max(levels) + room),
            xlabel="typical time an image (ms)",
            ylabel="image AUROC",
        )
        stretch_axes(axes)
        low, _ = axes.get_ylim()
        muted = STAND_INS["muted"]
        axes.axvline(budget_ms, color=muted, linewidth=1, linestyle=":")
        axes.text(budget_ms * 1.08, low + 0.2 * room, f"{budget_ms:g} ms", color=muted)
        _front(axes, points, line)
        if line:
            axes.plot(
                [point.typical_ms for point in line],
                [height(point.image_auroc or 0) for point in line],
                "o-",
                color=STAND_INS["m-routed"],
                markersize=3.5,
                linewidth=1.2,
                zorder=3,
            )
        for point, level in zip(points, heights, strict=True):
            _mark(axes, point, level)
        figure.draw_without_rendering()
        named = [
            (point.typical_ms, level, point.model)
            for point, level in zip(points, heights, strict=True)
            if _plain(point)
        ]
        marks = [
            (point.typical_ms, level)
            for point, level in zip(points, heights, strict=True)
            if not _plain(point)
        ]
        marks += [(point.typical_ms, height(point.image_auroc or 0)) for point in line]
        name_points(axes, named, marks)
        return to_svg(figure, "Accuracy against time, all settings")


def front(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Positions, by rising time, of those that no other beats in both time (smaller) and value (larger)."""
    best, kept = -np.inf, []
    for index in np.lexsort((-values, times)):
        if values[index] > best:
            best = values[index]
            kept.append(int(index))
    return np.array(kept, dtype=np.int64)


def _front(axes: Axes, points: list[Point], line: list[ThresholdPoint]) -> None:
    times = np.array([p.typical_ms for p in points] + [p.typical_ms for p in line])
    levels = np.array(
        [height(p.image_auroc or 0) for p in points] + [height(p.image_auroc or 0) for p in line]
    )
    kept = front(times, levels)
    right = axes.get_xlim()[1]
    axes.plot(
        [*times[kept], right],
        [*levels[kept], levels[kept][-1]],
        drawstyle="steps-post",
        color=STAND_INS["ink"],
        linewidth=1.0,
        alpha=0.55,
        zorder=2,
    )


def _mark(axes: Axes, point: Point, level: float) -> None:
    colour = STAND_INS[SERIES[point.model].variable]
    plain = _plain(point)
    shape = "^" if point.run else "s" if point.precision != "fp32" else "D" if point.device != "cpu" else "o"
    axes.plot(
        point.typical_ms,
        level,
        shape,
        color=colour if plain or point.run or point.precision != "fp32" else "none",
        markersize=(11 if point.model == "routed" else 7.5) if plain else 5,
        markeredgecolor=STAND_INS["paper"] if plain else colour,
        zorder=5 if plain else 4,
    )


def _plain(point: Point) -> bool:
    own = not point.run and point.delivered and point.device == "cpu"
    return own and (point.batch, point.threads) == (1, 1)
