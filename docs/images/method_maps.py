"""Draws docs/images/method_maps.png from what experiments/method_experiments.py wrote: pixels against features.

.venv/bin/python docs/images/method_maps.py OUT mtd
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

ROWS = {
    "pixels_error": "pixels:\nsquared error",
    "pixels_likelihood": "pixels:\nlikelihood",
    "features_error": "features:\nplain difference",
    "features_likelihood": "features:\nlikelihood",
}
SIDE = 128


def main() -> None:
    """Columns are images; a row's maps share one scale, black at the median and white at the 99.5th percentile."""
    out, name = Path(sys.argv[1]), sys.argv[2]
    with np.load(out / f"maps_{name}.npz", allow_pickle=False) as content:
        found = dict(content)
    count = len(found["image"])
    fig, axes = plt.subplots(1 + len(ROWS), count, figsize=(1.5 * count, 1.5 * (1 + len(ROWS))), dpi=80)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, mask in zip(axes[0], found["image"], found["mask"], strict=True):
        axis.imshow(_small(image), cmap="gray", vmin=0, vmax=1)
        axis.contour(_small(mask.astype(float)), [0.5], colors="#e0482f", linewidths=1)
    axes[0, 0].text(-6, SIDE / 2, "image,\ndefect outlined", ha="right", va="center", fontsize=9)
    for line, (key, title) in zip(axes[1:], ROWS.items(), strict=True):
        low, high = np.quantile(found[key], [0.5, 0.995])
        for axis, heat in zip(line, found[key], strict=True):
            axis.imshow(_small(heat), cmap="magma", vmin=low, vmax=high)
        line[0].text(-6, SIDE / 2, title, ha="right", va="center", fontsize=9)
    fig.subplots_adjust(wspace=0.04, hspace=0.04)
    fig.savefig(Path(__file__).with_name("method_maps.png"), bbox_inches="tight", facecolor="white")


def _small(image: np.ndarray) -> np.ndarray:
    factor = image.shape[-1] // SIDE
    return image.reshape(SIDE, factor, SIDE, factor).mean((1, 3))


if __name__ == "__main__":
    main()
