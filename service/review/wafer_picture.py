"""A wafer's inspection points as an SVG picture: at their places where `DATA/stage.json` gives them, else in rows.

Decisions differ in shape and in colour, so that they can be distinguished without colour: a circle PASSed, a triangle
is REVIEW, a square REJECT; a cross says that a person called it defective, a ring that a person called it good.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import sqlalchemy as sa

from service.state import Service
from service.store.tables import inspections
from wafer_data.errors import InputError
from wafer_map.stage import StageMap, load_stage

STAGE = "stage.json"
_SIDE, _MOST = 440, 5000
_FILL = {"PASS": "#7fb3c8", "REVIEW": "#e69f00", "REJECT": "#b2182b"}


def wafer_svg(service: Service, wafer: str, *, marked: str | None = None, bare: bool = False) -> str:
    """The picture.

    Args:
        service: The worker.
        wafer: Its id.
        marked: A point to mark.
        bare: Whether to hide every decision and verdict: only places are shown.
    """
    columns = [inspections.c[name] for name in ("point", "decision", "verdict")]
    query = (
        sa.select(*columns).where(inspections.c.wafer_id == wafer).order_by(inspections.c.seq).limit(_MOST)
    )
    with service.database.read() as connection:
        last = {row.point: row for row in connection.execute(query)}
    stage = stage_of(service.settings.data / STAGE)
    names = sorted(last, key=_natural)
    known = stage is not None and all(name in stage.sites for name in names)
    places = _on_wafer(stage, names) if stage is not None and known else _in_rows(len(names))
    size = 7.0 if len(names) < 250 else 4.0
    parts = []
    for name, (x, y) in zip(names, places, strict=True):
        row = last[name]
        said = "" if bare else f": {row.decision}{', people: ' + row.verdict if row.verdict else ''}"
        parts.append(
            f"<g><title>{escape(f'point {name}{said}')}</title>{_glyph('' if bare else row.decision, x, y, size)}"
        )
        if not bare and row.verdict == "defect":
            parts.append(_cross(x, y, size))
        if not bare and row.verdict == "good":
            parts.append(_ring(x, y, size + 2, 1))
        if name == marked:
            parts.append(_ring(x, y, size * 2, 3))
        parts.append("</g>")
    if not known:
        caption = "points in order; places unknown (no stage.json)"
    else:
        caption = "points at their places on the wafer"
        parts.insert(0, _ring(_SIDE / 2, _SIDE / 2, _SIDE / 2 - 2, 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="wafer" viewBox="0 0 {_SIDE} {_SIDE + 24}" role="img" '
        f"aria-label={quoteattr(f'wafer {wafer}, {len(names)} points; {caption}')}>"
        + "".join(parts)
        + f'<text x="{_SIDE / 2:g}" y="{_SIDE + 18}" text-anchor="middle" font-size="13" fill="currentColor">'
        f"{escape(caption)}</text></svg>"
    )


def stage_of(path: Path) -> StageMap | None:
    """The site's stage map; None if there is none, or it is malformed."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    return _stage(path, changed)


@functools.lru_cache(maxsize=4)
def _stage(path: Path, changed: int) -> StageMap | None:
    try:
        return load_stage(path)
    except InputError:
        return None


def _on_wafer(stage: StageMap, names: list[str]) -> list[tuple[float, float]]:
    found = []
    for name in names:
        site = stage.site(name)
        x = site.die[0] * stage.die_um[0] + site.offset_um[0] - stage.center_um[0]
        y = site.die[1] * stage.die_um[1] + site.offset_um[1] - stage.center_um[1]
        scale = (_SIDE - 8) / stage.diameter_um
        found.append((_SIDE / 2 + x * scale, _SIDE / 2 - y * scale))
    return found


def _in_rows(count: int) -> list[tuple[float, float]]:
    side = max(1, math.ceil(math.sqrt(count)))
    step = _SIDE / (side + 1)
    return [(step * (i % side + 1), step * (i // side + 1)) for i in range(count)]


def _glyph(decision: str, x: float, y: float, size: float) -> str:
    """The point's shape; "" hides what was decided."""
    fill = _FILL.get(decision, "#9aa4ab")
    if decision == "REVIEW":
        corners = (
            f"{x:.1f},{y - size:.1f} {x - size:.1f},{y + size * 0.8:.1f} {x + size:.1f},{y + size * 0.8:.1f}"
        )
        return f'<polygon points="{corners}" fill="{fill}"/>'
    if decision == "REJECT":
        side = f'width="{2 * size:.1f}" height="{2 * size:.1f}"'
        return f'<rect x="{x - size:.1f}" y="{y - size:.1f}" {side} fill="{fill}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size * 0.8:.1f}" fill="{fill}"/>'


def _ring(x: float, y: float, radius: float, width: int) -> str:
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"'
    return f'<circle {place} fill="none" stroke="currentColor" stroke-width="{width}"/>'


def _cross(x: float, y: float, size: float) -> str:
    return (
        f'<path d="M{x - size:.1f} {y - size:.1f}L{x + size:.1f} {y + size:.1f}M{x - size:.1f} {y + size:.1f}'
        f'L{x + size:.1f} {y - size:.1f}" stroke="currentColor" stroke-width="2.5"/>'
    )


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.isdecimal() and len(name) < 16 else (1, 0, name)
