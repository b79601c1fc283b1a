"""A wafer map as an SVG picture. It is drawn on the tool and in the service's pages: standard library only."""

from __future__ import annotations

from collections.abc import Collection
from xml.sax.saxutils import escape

from wafer_map.wafer import WaferMap
from wafer_map.xml_text import xml_text

_GOOD, _BAD, _LINE = "#cfe3dc", "#b2182b", "#26415a"
_SIDE = 480


def draw(wafer: WaferMap, title: str = "", *, region: Collection[int] = (), notch: str = "DOWN") -> str:
    """The picture.

    Args:
        wafer: the map. title: said above it and to screen readers.
        region: places in `wafer.dies` to outline, such as a signature's. notch: DOWN, UP, LEFT or RIGHT; anything else
            draws none.

    Returns:
        A self-contained SVG document. Bad dies carry a dot, so that they are told without their colour.
    """
    title = xml_text(title)
    columns, rows = zip(*wafer.dies, strict=True)
    width, height = wafer.pitch
    left, top = min(columns), max(rows)
    across, down = (max(columns) - left + 1) * width, (top - min(rows) + 1) * height
    scale = _SIDE / max(across, down)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-24 -44 {_SIDE + 48} {_SIDE + 68}" role="img" '
        f'aria-label="{escape(title or "wafer map", {chr(34): "&quot;"})}">',
        f'<text x="{_SIDE / 2:g}" y="-24" text-anchor="middle" font-family="sans-serif" font-size="16">'
        f"{escape(title)}</text>",
        f'<circle cx="{_SIDE / 2:g}" cy="{_SIDE / 2:g}" r="{_SIDE / 2 + 12:g}" fill="none" stroke="{_LINE}"/>',
    ]
    x0, y0 = (_SIDE - across * scale) / 2, (_SIDE - down * scale) / 2
    outlined = set(region)
    w, h = width * scale, height * scale
    for place, ((column, row), bad) in enumerate(zip(wafer.dies, wafer.bad, strict=True)):
        x, y = x0 + (column - left) * w, y0 + (top - row) * h
        stroke = (
            f' stroke="{_LINE}" stroke-width="1.5"'
            if place in outlined
            else ' stroke="#fff" stroke-width="0.5"'
        )
        parts.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" height="{h:.2f}" fill="{_BAD if bad else _GOOD}"{stroke}>'
            f"<title>die {column}, {row}: {'bad' if bad else 'good'}</title></rect>"
        )
        if bad:
            parts.append(
                f'<circle cx="{x + w / 2:.2f}" cy="{y + h / 2:.2f}" r="{min(w, h) / 6:.2f}" fill="#fff"/>'
            )
    middle, far = _SIDE / 2, _SIDE / 2 + 12
    at = {"DOWN": (0, 1), "UP": (0, -1), "LEFT": (-1, 0), "RIGHT": (1, 0)}.get(notch.upper())
    if at is not None:
        cx, cy = middle + at[0] * far, middle + at[1] * far
        parts.append(f'<circle cx="{cx:g}" cy="{cy:g}" r="5" fill="#fff" stroke="{_LINE}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
