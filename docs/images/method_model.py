"""Draws docs/images/method_model.png, the VAE and its two terms: .venv/bin/python docs/images/method_model.py"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from overview import ALARM, INK, SOFT, TOOL, TRAIN, box


def arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = SOFT, curve: float = 0.0
) -> None:
    """An arrow, bent by `curve`."""
    style = f"arc3,rad={curve}"
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=13, color=colour, lw=1.4, connectionstyle=style
        )
    )


def main() -> None:
    """Draw and save."""
    fig, ax = plt.subplots(figsize=(11, 4.0), dpi=120)
    ax.set_xlim(0, 13.2)
    ax.set_ylim(0, 4.8)
    ax.axis("off")
    y = 2.3
    box(ax, 0.1, y, 1.6, 1.0, "image x", "256 x 256 grey", "#eeeeee")
    box(ax, 2.5, y, 2.0, 1.0, "encoder", "guesses z:\nmean and sigma", TRAIN)
    box(ax, 5.4, y, 2.6, 1.0, "z", "mean + sigma * noise", TRAIN)
    box(ax, 8.9, y, 2.0, 1.0, "decoder", "what z explains", TRAIN)
    box(ax, 11.6, y, 1.5, 1.0, "p(x | z)", "expectation\nand spread", "#eeeeee")
    for start, end in ((1.75, 2.45), (4.55, 5.35), (8.05, 8.85), (10.95, 11.55)):
        arrow(ax, (start, y + 0.5), (end, y + 0.5))
    box(ax, 5.9, 4.0, 1.6, 0.7, "noise", "N(0, I)", TOOL)
    arrow(ax, (6.7, 3.95), (6.7, 3.4))
    box(ax, 2.3, 0.2, 2.6, 0.9, "KL term", "q(z|x) against N(0, I)", ALARM)
    box(ax, 10.2, 0.2, 2.9, 0.9, "reconstruction term", "-log p(x|z)", ALARM)
    arrow(ax, (3.5, y - 0.05), (3.5, 1.2))
    arrow(ax, (12.3, y - 0.05), (11.9, 1.2))
    arrow(ax, (10.1, 0.65), (4.4, y - 0.08), "#b4542b", -0.18)
    text = "the gradient passes through z to\nmean and sigma; the noise is only data"
    ax.text(8.5, 1.3, text, ha="center", fontsize=8.5, color="#b4542b")
    ax.text(0.1, 4.5, "loss = reconstruction term + KL term", fontsize=10, color=INK, weight="bold")
    fig.savefig(Path(__file__).with_name("method_model.png"), bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    main()
