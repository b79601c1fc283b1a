"""Draws docs/images/method_vae.png and method_terms.png from what experiments/method_experiments.py wrote.

.venv/bin/python docs/images/method_vae.py OUT
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).parent
COLOURS = {"elbo": "#1f5fa8", "no_annealing": "#c0662f", "heavy": "#3b8d5a", "heavy_at_once": "#a03060"}


def pictures(found: dict, images: dict[str, np.ndarray]) -> None:
    """One row a variant: test images as the model reconstructs them, and images drawn from the prior."""
    rows = [("test images", images["shown"], None)]
    for name, variant in found["variants"].items():
        rows.append((variant["title"], images[f"{name}_again"], images[f"{name}_drawn"]))
    fig, axes = plt.subplots(
        len(rows), 13, figsize=(11, 0.86 * len(rows)), dpi=90, width_ratios=[*[1] * 6, 0.2, *[1] * 6]
    )
    for axis in axes.flat:
        axis.axis("off")
    for line, (title, again, drawn) in zip(axes, rows, strict=True):
        for axis, image in zip(line[:6], again, strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        if drawn is not None:
            for axis, image in zip(line[7:], drawn, strict=True):
                axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        line[0].text(-6, 32, title, ha="right", va="center", fontsize=9)
    axes[0, 1].set_title("three normal", fontsize=9)
    axes[0, 4].set_title("three defective", fontsize=9)
    axes[1, 10].set_title("drawn from the prior", fontsize=9, x=0)
    fig.subplots_adjust(wspace=0.05, hspace=0.05, left=0.2, right=1, top=0.94, bottom=0)
    fig.savefig(HERE / "method_vae.png", bbox_inches="tight", facecolor="white")


def terms(found: dict) -> None:
    """The KL term and the number of latents in use while training, seed by seed."""
    fig, axes = plt.subplots(1, 2, figsize=(9, 3), dpi=100)
    for name, colour in COLOURS.items():
        variant = found["variants"][name]
        for seed, row in enumerate(variant["seeds"]):
            epochs = [point["epoch"] for point in row["history"]]
            for axis, key in zip(axes, ("kl", "active"), strict=True):
                values = [point[key] for point in row["history"]]
                axis.plot(epochs, values, color=colour, lw=1.4, label=variant["title"] if seed == 0 else None)
    for axis, title in zip(axes, ("KL term, nats an image", "latents in use (of 32)"), strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=8, frameon=False)
    fig.tight_layout()
    fig.savefig(HERE / "method_terms.png", facecolor="white")


def main() -> None:
    """Draw both."""
    out = Path(sys.argv[1])
    found = json.loads((out / "method.json").read_text())["vae"]
    with np.load(out / "vae.npz", allow_pickle=False) as content:
        pictures(found, dict(content))
    terms(found)


if __name__ == "__main__":
    main()
