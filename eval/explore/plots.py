"""The plots of an exploration: inline SVG in the page's colours, and the same drawing as a PNG file."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, PercentFormatter

from eval.explore.findings import Exploration, Texture
from eval.explore.intensity import Histograms
from eval.explore.statistics import STATISTICS
from eval.pages import theme
from eval.pages.svg import canvas, to_svg
from eval.pages.theme import STAND_INS

_NORMAL, _DEFECT = STAND_INS["normal"], STAND_INS["defect"]
_INK, _MUTED = STAND_INS["ink"], STAND_INS["muted"]
_LIGHT = {
    STAND_INS[name]: light
    for name, light, _ in (theme.INK, theme.MUTED, theme.GRID, theme.PAPER, theme.NORMAL, theme.DEFECT)
}
_DASHED = (0, (4, 2))


@dataclass(frozen=True)
class Plot:
    """One drawing twice: `svg` for the page, `png` (content of a file, light colours) for slides."""

    svg: str
    png: bytes


def draw_plots(found: Exploration) -> dict[str, Plot]:
    """The plots that this exploration has figures for, by name."""
    plots = {
        "intensity": _plot(
            "Intensities of training normals", lambda axes: _intensity(axes, found.intensities)
        ),
        "spectrum": _plot("Radial power spectrum", lambda axes: _radial(axes, found.texture)),
        "correlation": _plot("Autocorrelation", lambda axes: _correlation(axes, found.texture)),
    }
    if found.contrasts is not None:
        contrasts = found.contrasts
        plots["contrast"] = _plot("Intensities, normal and defect", lambda axes: _contrast(axes, contrasts))
    if found.differences is not None:
        plots["differences"] = _plot("AUROC of simple figures", lambda axes: _differences(axes, found))
    if found.extent is not None and found.extent.together.masks:
        plots["extent"] = _plot("Area of defects", lambda axes: _extent(axes, found))
    return plots


def _plot(title: str, draw: Callable[[Axes], None]) -> Plot:
    with canvas(title) as (figure, axes):
        draw(axes)
        svg = to_svg(figure, title)
        handles, _ = axes.get_legend_handles_labels()
        if handles:  # the page has a legend of its own, a file on its own needs one
            axes.legend(frameon=False, fontsize=10)
        return Plot(svg, _to_png(figure))


def _to_png(figure: Figure) -> bytes:
    for artist in figure.findobj():
        for name in ("color", "facecolor", "edgecolor"):
            _recolour(artist, name)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _recolour(artist: Artist, name: str) -> None:
    """Give an artist drawn in a stand-in colour the colour that it stands for; collections take colour lists."""
    read, write = (getattr(artist, f"{verb}_{name}", None) for verb in ("get", "set"))
    if read is None or write is None:
        return
    colour = read()
    if isinstance(colour, np.ndarray):
        if colour.shape != (1, 4):
            return
        colour = tuple(colour[0])
    for stand_in, light in _LIGHT.items():
        if isinstance(colour, (str, tuple)) and same_color(
            colour[:3] if len(colour) == 4 else colour, stand_in
        ):
            write(light)
            return


def _intensity(axes: Axes, found: Histograms) -> None:
    shares = np.array(found.shares["normal"])
    axes.stairs(shares, found.edges, fill=True, color=_NORMAL, alpha=0.35, linewidth=0)
    axes.stairs(shares, found.edges, color=_NORMAL, linewidth=1.4)
    axes.set(xlabel="intensity, share of full scale", ylabel="share of all pixels in a bin", ylim=(0, None))
    _percent(axes.xaxis)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _contrast(axes: Axes, found: Histograms) -> None:
    lines = (
        ("normal", "normal images", _NORMAL, "-"),
        ("defect", "defective images", _DEFECT, "-"),
        ("inside", "inside the masks", _DEFECT, _DASHED),
    )
    for name, label, colour, dashes in lines:
        if name in found.shares:
            shares = np.array(found.shares[name])
            axes.stairs(shares, found.edges, color=colour, linewidth=1.5, linestyle=dashes, label=label)
    axes.set_yscale("log")
    top = max(max(shares) for shares in found.shares.values())
    axes.set(ylim=(max(1e-6, 1e-5 * top), 2 * top))
    axes.set(xlabel="intensity, share of full scale", ylabel="share of the group's pixels in a bin")
    _percent(axes.xaxis)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _radial(axes: Axes, texture: Texture) -> None:
    cycles = np.arange(1, len(texture.radial_power) + 1)
    axes.plot(cycles, np.maximum(texture.radial_power, 1e-12), color=_NORMAL, linewidth=1.8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    peak = texture.radial_peak
    if peak.stands_out:
        height = texture.radial_power[peak.cycles - 1]
        axes.plot(peak.cycles, height, "o", color=_DEFECT, markersize=6)
        axes.annotate(
            f"{peak.cycles} cycles, {peak.period_px:.1f} px",
            (peak.cycles, height),
            xytext=(8, 6),
            textcoords="offset points",
            fontsize=10.5,
        )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(xlabel="frequency, cycles an image", ylabel="mean power (white noise: 1)")


def _correlation(axes: Axes, texture: Texture) -> None:
    pattern = texture.pattern
    periodic = pattern is not None and pattern.periodic
    axes.axhline(0, color=_MUTED, linewidth=0.8)
    main = "in the direction of the period" if periodic else "in the direction of the longest grain"
    axes.plot(texture.along, color=_NORMAL, linewidth=1.8, label=main)
    axes.plot(texture.across, color=_NORMAL, linewidth=1.4, linestyle=_DASHED, label="at right angles to it")
    if pattern is not None and periodic:
        axes.plot(pattern.period_px, pattern.height, "o", color=_DEFECT, markersize=6)
        axes.annotate(
            f"{pattern.period_px:.1f} px",
            (pattern.period_px, pattern.height),
            xytext=(6, 6),
            textcoords="offset points",
            fontsize=10.5,
        )
    low = min(0.0, *texture.along, *texture.across)
    axes.set(xlim=(0, len(texture.along) - 1), ylim=(1.08 * low - 0.04, 1.08))
    axes.set(xlabel="shift in pixels", ylabel="correlation with itself")


def _differences(axes: Axes, found: Exploration) -> None:
    assert found.differences is not None
    lines = found.differences[::-1]
    axes.axvline(0.5, color=_MUTED, linewidth=1)
    for row, line in enumerate(lines):
        axes.plot(line.auroc_interval, (row, row), color=_DEFECT, linewidth=2.2)
        axes.plot(line.auroc, row, "o", color=_DEFECT, markersize=6)
    axes.set_yticks(range(len(lines)), [STATISTICS[line.name].label for line in lines])
    axes.tick_params(axis="y", labelcolor=_INK, length=0)
    axes.grid(visible=False, axis="y")
    ends = [0.5] + [end for line in lines for end in line.auroc_interval]
    axes.set(xlim=(max(0, min(ends) - 0.05), min(1, max(ends) + 0.05)), ylim=(-0.6, len(lines) - 0.4))
    axes.set(xlabel="AUROC; right of 0.5 defects are higher")


def _extent(axes: Axes, found: Exploration) -> None:
    assert found.extent is not None
    groups = (
        {"all": found.extent.together} | found.extent.types
        if len(found.extent.types) > 1
        else found.extent.types
    )
    shown = [(name, kind.area_quartiles) for name, kind in groups.items() if kind.area_quartiles is not None][
        ::-1
    ]
    for row, (_, (low, middle, high)) in enumerate(shown):
        axes.plot((low, high), (row, row), color=_DEFECT, linewidth=2.2)
        axes.plot(middle, row, "o", color=_DEFECT, markersize=6)
    axes.set_xscale("log")
    low_end, high_end = min(area[0] for _, area in shown), max(area[2] for _, area in shown)
    ticks = [10.0**power for power in range(-6, 1) if 0.3 * low_end <= 10.0**power <= 3 * high_end]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlim=(0.6 * low_end, min(1.0, 1.7 * high_end)), ylim=(-0.6, len(shown) - 0.4))
    axes.set_yticks(range(len(shown)), [_short(name) for name, _ in shown])
    axes.tick_params(axis="y", labelcolor=_INK, length=0)
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="area of the mask, share of the image")


def _percent(axis: Axis) -> None:
    axis.set_major_formatter(PercentFormatter(1, decimals=None, symbol=" %"))


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"
