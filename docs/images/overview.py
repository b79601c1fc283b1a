"""Draws docs/images/overview.png: .venv/bin/python docs/images/overview.py"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, SOFT, TOOL, TRAIN, ALARM = "#1d2733", "#5c6b7a", "#dcebf7", "#e9e6f5", "#f9e0d6"


def box(ax, x: float, y: float, w: float, h: float, title: str, text: str, colour: str) -> None:
    """A rounded box with a bold first line."""
    ax.add_patch(
        FancyBboxPatch((x, y), w, h, boxstyle="round,pad=0.02,rounding_size=0.12", fc=colour, ec="none")
    )
    ax.text(x + w / 2, y + h * 0.66, title, ha="center", va="center", fontsize=11, weight="bold", color=INK)
    ax.text(x + w / 2, y + h * 0.3, text, ha="center", va="center", fontsize=8.5, color=SOFT)


def arrow(
    ax, start: tuple[float, float], end: tuple[float, float], label: str = "", dy: float = 0.14
) -> None:
    """An arrow with a label above its middle."""
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, color=SOFT, lw=1.4))
    if label:
        ax.text(
            (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + dy, label, ha="center", fontsize=8.5, color=INK
        )


def main() -> None:
    """Draw and save."""
    fig, ax = plt.subplots(figsize=(11, 4.3), dpi=130)
    ax.set_xlim(0, 13.2)
    ax.set_ylim(0, 5.1)
    ax.axis("off")
    ax.text(0.1, 4.85, "TRAINING, on images of good wafers", fontsize=9, color=SOFT, weight="bold")
    top = 3.55
    box(ax, 0.1, top, 2.6, 1.0, "Teacher", "pretrained backbone,\nadapted to normal images", TRAIN)
    box(ax, 3.6, top, 2.4, 1.0, "Intermediate", "distilled features", TRAIN)
    box(ax, 6.9, top, 2.4, 1.0, "Target", "fine-tuned", TRAIN)
    box(ax, 10.2, top, 2.8, 1.0, "Two VAE students", "low resolution, full resolution", TRAIN)
    for a, b in ((2.75, 3.55), (6.05, 6.85), (9.35, 10.15)):
        arrow(ax, (a, top + 0.5), (b, top + 0.5))
    ax.text(0.1, 2.75, "ON THE TOOL, for every image", fontsize=9, color=SOFT, weight="bold")
    y = 1.35
    box(ax, 0.1, y, 2.2, 1.0, "Quality gate", "blank, blurred,\nsaturated?", TOOL)
    box(ax, 3.6, y, 2.4, 1.0, "Low resolution", "score and map", TOOL)
    box(ax, 7.6, y, 2.4, 1.0, "Full resolution", "score and map", TOOL)
    arrow(ax, (2.35, y + 0.5), (3.55, y + 0.5), "judgeable")
    arrow(ax, (6.05, y + 0.5), (7.55, y + 0.5), "5-8 % doubtful")
    box(ax, 0.1, 0.05, 2.2, 0.72, "REVIEW", "with the reason", ALARM)
    box(ax, 3.6, 0.05, 2.4, 0.72, "PASS", "most images end here", "#dff2e3")
    box(ax, 7.6, 0.05, 2.4, 0.72, "PASS", "cleared at full resolution", "#dff2e3")
    box(ax, 10.7, y + 0.14, 2.4, 0.72, "REVIEW, REJECT", "with a heat map", ALARM)
    for x in (1.2, 4.8, 8.8):
        arrow(ax, (x, y - 0.03), (x, 0.83))
    arrow(ax, (10.05, y + 0.5), (10.65, y + 0.5))
    fig.savefig(Path(__file__).with_name("overview.png"), bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    main()
