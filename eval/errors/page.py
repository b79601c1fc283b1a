"""Fills the page template of an error analysis."""

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter

from eval.errors.findings import ErrorAnalysis, Kind, Mode
from eval.errors.gallery import MOST, Shot
from eval.pages.render import ANALYSIS, render
from eval.pages.svg import canvas, to_svg
from eval.pages.theme import STAND_INS
from eval.pages.wording import counted, percent

LABELS = {
    "area": "area of the mask",
    "contrast": "contrast of the mask against its surround, size, in standard deviations of the surround",
    "texture": "spread inside the mask / of its surround",
    "edge_distance": "distance of its centre from the edge, in sides of the image",
    "similarity": "similarity to the nearest training normal",
    "mean": "mean grey",
    "std": "standard deviation of the grey values",
    "black_share": "share of black pixels",
    "white_share": "share of white pixels",
    "sharpness": "sharpness",
}


def render_page(found: ErrorAnalysis, shots: dict[Kind, list[Shot]]) -> str:
    """The whole HTML page as text; needs nothing but itself to be shown."""
    return render(
        "eval.errors",
        {
            **{name: getattr(found, name) for name in found.__dataclass_fields__},
            "summary": _summary(found),
            "top": found.modes[:3],
            "groups": _groups(found, shots),
            "labels": LABELS,
            "plot": _scatter(found.points) if found.points else None,
            "most": MOST,
        },
        (ANALYSIS, ("eval.errors", "page.css")),
    )


def _summary(found: ErrorAnalysis) -> list[str]:
    counts = found.counts
    system = "The routed system" if found.model == "routed" else "The full student alone"
    said = []
    if counts["test_defects"]:
        said.append(
            f"{system} lets {counts['missed']} of {counted(counts['test_defects'], 'defect')} pass "
            f"({percent(counts['fnr'])})"
        )
    if counts["test_normals"]:
        start = " and stops" if said else f"{system} stops"
        said.append(
            f"{start} {counts['false_alarms']} of {counted(counts['test_normals'], 'normal image')} "
            f"({percent(counts['fpr'])})"
        )
    sentences = ["".join(said) + ", at the thresholds that were calibrated on other images."]
    if found.modes:
        named = "; ".join(f"{_lower(mode.name)} ({mode.count})" for mode in found.modes[:3])
        sentences.append(f"The main failure modes: {named}.")
    if found.easiest and found.hardest:
        sentences.append(
            f"Easiest type: {found.easiest.type} ({percent(found.easiest.detection_rate)} found); hardest: "
            f"{found.hardest.type} ({percent(found.hardest.detection_rate)})."
        )
    return sentences


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _groups(found: ErrorAnalysis, shots: dict[Kind, list[Shot]]) -> list[dict[str, Any]]:
    """Each kind of error with its modes, each with its pictures."""
    groups = []
    for kind, taken in shots.items():
        modes: list[tuple[Mode, list[Shot]]] = [
            (mode, [shot for shot in taken if shot.error.mode == mode.key])
            for mode in found.modes
            if mode.kind == kind
        ]
        groups.append({"kind": kind, "modes": modes, "total": len(found.of(kind)), "shown": len(taken)})
    return groups


def _scatter(points: list[tuple[float, float, bool]]) -> str:
    """Area against contrast of every masked defect, found and missed."""
    area, contrast, missed = (np.array(column) for column in zip(*points, strict=True))
    missed = missed.astype(bool)
    with canvas("area and contrast") as (figure, axes):
        low = 0.01
        for chosen, colour, size, mark in (
            (~missed, STAND_INS["normal"], 14, "o"),
            (missed, STAND_INS["defect"], 34, "X"),
        ):
            axes.scatter(
                area[chosen], np.maximum(contrast[chosen], low), s=size, c=colour, marker=mark, linewidths=0
            )
        axes.set(xscale="log", yscale="log", xlabel="area of the mask, share of the image")
        axes.set(ylabel="contrast, standard deviations of the surround")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        return to_svg(figure, "Area and contrast of found and missed defects")
