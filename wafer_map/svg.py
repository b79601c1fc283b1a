"""A wafer map as an SVG picture. It is drawn on the tool and in the service's pages: standard library and numpy."""

from __future__ import annotations

import math
from collections.abc import Collection
from xml.sax.saxutils import escape

import numpy as np

from wafer_map.orientation import mark_angle
from wafer_map.wafer import WaferMap
from wafer_map.xml_text import xml_text

_GOOD, _BAD, _LINE = "#cfe3dc", "#b2182b", "#26415a"
_SIDE = 480


def draw(wafer: WaferMap, title: str = "", *, region: Collection[int] = (), notch: str = "DOWN") -> str:
    """The picture.

    Args:
        wafer: the map. title: said above it and to screen readers.
        region: places in `wafer.dies` to outline, such as a signature's.
        notch: DOWN, LEFT, UP, RIGHT, or degrees clockwise from the bottom; anything else draws none. It is drawn where
            it says, on mirrored maps as well.

    Returns:
        A self-contained SVG document, every die where `wafer.centers` has it. The outline is the wafer's, or goes round
        the dies where that is not known. Bad dies carry a dot, so that they are told without their colour.
    """
    title = xml_text(title)
    centers = wafer.centers
    width, height = wafer.pitch
    middle, far = _SIDE / 2, _SIDE / 2 + 12
    half = abs(centers).max(axis=0) + np.asarray(wafer.pitch) / 2
    if wafer.disc is None:
        scale, radius = middle / half.max(), far
    else:  # dies of the edge may stick out
        scale = far / max(wafer.disc.radius, *half)
        radius = wafer.disc.radius * scale
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-24 -44 {_SIDE + 48} {_SIDE + 68}" role="img" '
        f'aria-label="{escape(title or "wafer map", {chr(34): "&quot;"})}">',
        f'<text x="{_SIDE / 2:g}" y="-24" text-anchor="middle" font-family="sans-serif" font-size="16">'
        f"{escape(title)}</text>",
        f'<circle cx="{middle:g}" cy="{middle:g}" r="{radius:g}" fill="none" stroke="{_LINE}"/>',
    ]
    outlined = set(region)
    w, h = width * scale, height * scale
    corners = (centers * (1, -1) - (width / 2, height / 2)) * scale + middle
    for place, ((column, row), bad, (x, y)) in enumerate(
        zip(wafer.dies, wafer.bad, corners.tolist(), strict=True)
    ):
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
    angle = mark_angle(notch)
    if angle is not None:
        cx = middle - radius * math.sin(math.radians(angle))
        cy = middle + radius * math.cos(math.radians(angle))
        parts.append(f'<circle cx="{cx:g}" cy="{cy:g}" r="5" fill="#fff" stroke="{_LINE}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
