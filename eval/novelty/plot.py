"""Delay against the rate of the new type: inline SVG for the page, and the same as a file of its own."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from eval.novelty.settings import REPORTED_TODAY_DAYS
from eval.novelty.simulate import TimeToDetection
from eval.pages import theme
from eval.pages.svg import canvas, to_svg
from eval.pages.theme import STAND_INS

_TICKS = {1 / 60: "1 min", 1: "1 hour", 24: "1 day", 24 * 7: "1 week", 720: "1 month", 8640: "1 year"}
_NAMES = {2: "100", 3: "1000", 4: "10 000", 5: "100 000", 6: "1 million", 7: "10 million"}
_COLOURS = {"hardest": STAND_INS["defect"], "easiest": STAND_INS["normal"], "alarm": STAND_INS["m-teacher"]}


def draw_delays(times: TimeToDetection) -> str:
    """Medians as lines, up to the 95th percentile as bands; both axes logarithmic."""
    title = "Delay until a new type is noticed, against its rate"
    with canvas(title) as (figure, axes):
        names = ("easiest", "hardest", "alarm") if times.easiest != times.hardest else ("hardest", "alarm")
        for name in names:
            _line(axes, times, name)
        axes.axhline(24 * REPORTED_TODAY_DAYS, color=STAND_INS["ink"], linewidth=1.2, linestyle=(0, (2, 2)))
        axes.annotate(
            f"today: {REPORTED_TODAY_DAYS:g} days, as reported",
            (0.02, 24 * REPORTED_TODAY_DAYS),
            xycoords=("axes fraction", "data"),
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=10,
        )
        axes.set(xscale="log", yscale="log", xlabel="one image of the new type in", ylabel="delay")
        axes.xaxis.set_major_locator(FixedLocator([10.0**-power for power in _NAMES]))
        axes.xaxis.set_major_formatter(FuncFormatter(_one_in))
        axes.yaxis.set_major_locator(FixedLocator(list(_TICKS)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _TICKS.get(value, "")))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.invert_xaxis()
        return to_svg(figure, title)


def _line(axes: Axes, times: TimeToDetection, name: str) -> None:
    rows = [(one.rate, *getattr(one, name)) for one in times.by_rate]
    rates, median, high = (
        np.array([np.nan if v is None else v for v in column]) for column in zip(*rows, strict=True)
    )
    colour = _COLOURS[name]
    axes.fill_between(rates, median, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(rates, median, color=colour, linewidth=2, linestyle=(0, (5, 2)) if name == "alarm" else "-")


def _one_in(rate: float, _: int) -> str:
    return _NAMES.get(round(-np.log10(rate)), "")


def standalone(svg: str) -> str:
    """The drawing as a file: with namespaces, light colours, and a white ground."""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    style = f"<style>:root {{ {theme.css_variables(dark=False)} background: #fff; }}</style>"
    opened = svg.replace("<svg ", f"<svg {spaces} ", 1)
    end = opened.index(">") + 1
    return opened[:end] + style + opened[end:]
