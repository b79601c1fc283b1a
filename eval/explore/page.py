"""Fills the page template of an exploration."""

from dataclasses import asdict
from typing import Any

import numpy as np

from eval.explore.findings import Exploration, Shown
from eval.explore.plots import Plot
from eval.explore.sample import MOST
from eval.explore.statistics import STATISTICS
from eval.pages import images as pictures
from eval.pages import wording
from eval.pages.render import ANALYSIS, render

THUMBNAIL = 256  # pixels; the PNG files keep the stored size


def render_page(
    found: Exploration,
    plots: dict[str, Plot],
    shots: dict[int, np.ndarray],
    maps: dict[str, np.ndarray],
) -> str:
    """The whole HTML page as text; needs nothing but itself to be shown.

    Args:
        shots: uint8 pictures (S, S, 3) of the images shown, by index.
        maps: Pictures "mean", "deviation", "spectrum" and "correlation".
    """
    pattern = found.texture.pattern
    return render(
        "eval.explore",
        {
            **{name: getattr(found, name) for name in found.__dataclass_fields__},
            "summary": _summary(found),
            "scale": _scale(found.levels),
            "defect_count": sum(found.data.types.values()),
            "normals": [_shot(shown, shots) for shown in found.normals_shown],
            "defects": [_shot(shown, shots) for shown in found.defects_shown],
            "masked": any(shown.masked for shown in found.defects_shown),
            "maps": _maps(found, maps),
            "plots": plots,
            "periodic": pattern is not None and pattern.periodic,
            "correlation_directions": _directions(found),
            "types": _types(found),
            "statistics": STATISTICS,
            "most": MOST,
        },
        (ANALYSIS,),
    )


def _summary(found: Exploration) -> list[str]:
    verdicts = {answer.question: answer.verdict for answer in found.answers}
    data = found.data
    normals = sum(data.counts[split] for split in ("train_normal", "calibration_normal", "test_normal"))
    defects = sum(data.types.values())
    said = [
        f"{wording.counted(normals, 'normal image')} and {wording.counted(defects, 'defect')}, looked at before "
        f"anything is trained. Dominant texture: {verdicts['What is the dominant texture?']}. Normal images are "
        f"{verdicts['Are the normal images aligned?']}."
    ]
    if found.threshold is not None and found.extent is not None:
        reach = found.extent.reach
        extent = f"Defects are {reach}; they" if reach in ("local", "global") else "Defects"
        said.append(
            f"{extent} differ {verdicts['How do defects differ from normals?']}. Would a threshold on a single figure "
            f"do? {verdicts['Would thresholding work?'].capitalize()}."
        )
    if not defects:
        said.append("There is no defect in this data set, so nothing is said about defects on this page.")
    return said


def _scale(levels: tuple[float, float]) -> str:
    if levels == (0.0, 1.0):
        return "Black is 0 and white is full scale, in every picture alike."
    return (
        f"As models see them, every picture alike: black is {100 * levels[0]:.2f} % and white {100 * levels[1]:.2f} % "
        "of the files' range."
    )


def _shot(shown: Shown, shots: dict[int, np.ndarray]) -> dict[str, Any]:
    return asdict(shown) | {"picture": pictures.data_address(shots[shown.index], THUMBNAIL)}


def _maps(found: Exploration, maps: dict[str, np.ndarray]) -> list[dict[str, str]]:
    (low, high), (quiet, loud) = found.mean_image.mean, found.mean_image.deviation
    captions = {
        "mean": (
            "Mean image",
            f"from {100 * low:.1f} % (black) to {100 * high:.1f} % of full scale (white): what is seen here lies at "
            "the same place in all images",
        ),
        "deviation": (
            "Standard deviation",
            f"of each pixel over the images, from {100 * quiet:.2f} % (black) to {100 * loud:.2f} % of full scale "
            "(white): bright is where normals vary",
        ),
        "spectrum": (
            "Power spectrum",
            "logarithmic, coarse structure in the middle; isolated bright dots are a pattern that repeats",
        ),
        "correlation": (
            "Autocorrelation",
            f"for shifts up to {len(maps['correlation']) // 2} px, no shift in the middle; from -1 (black) to 1 "
            "(white)",
        ),
    }
    return [
        {"picture": pictures.data_address(maps[name]), "title": title, "note": note}
        for name, (title, note) in captions.items()
    ]


def _directions(found: Exploration) -> str:
    texture = found.texture
    pattern = texture.pattern
    if pattern is not None and pattern.periodic:
        return f"in direction {pattern.direction:.0f}° and at right angles to it"
    return f"in direction {texture.grain.longest_direction:.0f}° and at right angles to it"


def _types(found: Exploration) -> list[dict[str, Any]]:
    """A row of the table for each type; None of its cells needs masks to be there."""
    if found.extent is None:
        return []
    rows = []
    for name, extent in found.extent.types.items():
        row: dict[str, Any] = {"name": name, "count": found.data.types[name], "extent": extent}
        areas, pieces = extent.area_quartiles, extent.component_quartiles
        row["area"] = row["pieces"] = wording.MISSING
        row["area_quartiles"] = row["piece_quartiles"] = ""
        if areas is not None and pieces is not None:
            row["area"] = wording.percent(areas[1], 2)
            row["area_quartiles"] = f"{100 * areas[0]:.2f} to {wording.percent(areas[2], 2)}"
            row["pieces"], row["piece_quartiles"] = f"{pieces[1]:g}", f"{pieces[0]:g} to {pieces[2]:g}"
        rows.append(row)
    return rows
