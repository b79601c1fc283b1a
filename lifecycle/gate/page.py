"""The gate's report as a page: figures beside thresholds and production, and every lost defect with its picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.pages.images import grey_address
from eval.pages.render import ANALYSIS, render
from eval.pages.wording import counted, metric, milliseconds, percent
from lifecycle.gate.gate import HIGHER_IS_BETTER
from wafer_data.imaging.read import UnreadableImage, read_grey, to_square

_NAMES = {
    "auroc": "Image AUROC",
    "fnr_at_fpr5": "Missed at 5 % false alarms",
    "escape": "Defects that PASS",
    "false_alarm": "Normals that do not PASS",
}
_MOST_PICTURES = 60


def render_gate(
    found: Mapping[str, Any], title: str, pictures: Mapping[str, Path], *, synthetic: bool = False
) -> str:
    """The whole page as text; needs nothing but itself to be shown.

    Args:
        found: `GateReport.to_dict()`, with `thresholds`, `against` (production's name or None) and, where there are,
            `recent` and `sets`.
        title: What was asked about.
        pictures: Files of the images by the names that the report calls them.
        synthetic: Whether frozen images are synthetic.
    """
    lost = [
        {"name": name, "picture": _picture(pictures.get(name)) if i < _MOST_PICTURES else None}
        for i, name in enumerate(found["regressions"])
    ]
    return render(
        "lifecycle.gate",
        {
            "title": title,
            "summary": _summary(found),
            "found": found,
            "rows": [_row(key, name, found) for key, name in _NAMES.items()],
            "p99": milliseconds(found["p99_ms"]),
            "p99_limit": milliseconds(found["thresholds"]["p99_ms"]),
            "lost": lost,
            "synthetic": synthetic,
        },
        (ANALYSIS,),
    )


def _summary(found: Mapping[str, Any]) -> list[str]:
    normal, defective = found["images"]
    said = [
        f"The candidate {'may go on' if found['passed'] else 'may not go on'}: asked about "
        f"{counted(normal, 'normal image')} and {counted(defective, 'defect')} of the frozen sets, "
        + (
            f"and compared with {found['against']} on the same images."
            if found["against"]
            else "with no version in use yet."
        )
    ]
    if found["regressions"]:
        said.append(
            f"It misses {counted(len(found['regressions']), 'defect')} that {found['against']} finds."
        )
    return said


def _row(key: str, name: str, found: Mapping[str, Any]) -> dict[str, str]:
    write = metric if key in HIGHER_IS_BETTER else percent
    production = found["production"]
    difference = found["differences"].get(key)
    limit = found["thresholds"][key]
    return {
        "name": name,
        "candidate": write(found["candidate"][key]),
        "limit": f"{'at least' if key in HIGHER_IS_BETTER else 'at most'} {write(limit)}",
        "production": write(production[key]) if production else write(None),
        "difference": "" if difference is None or difference[0] is None else _signed(difference),
    }


def _signed(difference: tuple[float | None, ...]) -> str:
    point, low, high = (float("nan") if value is None else value for value in difference)
    return f"{point:+.3f} ({low:+.3f} to {high:+.3f})"


def _picture(path: Path | None) -> str | None:
    """The picture for the page; None where it cannot be shown."""
    if path is None:
        return None
    try:
        return grey_address(to_square(read_grey(path)), longest=256)
    except UnreadableImage:
        return None
