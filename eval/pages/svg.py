"""matplotlib figures as inline SVG whose colours and font come from the page's style sheet."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.pages.theme import STAND_INS

# In inches of 72 points: as wide as a phone shows without shrinking the letters below reading size.
_SIZE = (5.4, 3.7)


@contextmanager
def canvas(salt: str) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one calm pair of axes, drawn in stand-in colours. `salt` keeps ids apart on one page."""
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.size": 11,
        "axes.edgecolor": STAND_INS["muted"],
        "axes.labelcolor": STAND_INS["ink"],
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": STAND_INS["grid"],
        "grid.linewidth": 0.8,
        "xtick.color": STAND_INS["muted"],
        "ytick.color": STAND_INS["muted"],
        "text.color": STAND_INS["ink"],
        "lines.solid_capstyle": "round",
    }
    with rc_context(style):
        figure = Figure(figsize=_SIZE, layout="constrained")
        yield figure, figure.add_subplot()


def to_svg(figure: Figure, title: str) -> str:
    """The figure as a transparent `<svg>` element of full width, with an accessible title."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Inside HTML the namespaces are known; without them the page holds no address at all.
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'\s(width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 system-ui, sans-serif", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", text)
    for name, colour in STAND_INS.items():
        text = text.replace(colour, f"var(--{name})")
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
