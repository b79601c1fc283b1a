"""Draws docs/images/synthetic_anomalies.png and synthetic_micrographs.png: .venv/bin/python docs/images/synthetic.py"""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy import ndimage

from wafer_data.micrograph import DEFECT_TYPES, GOOD, MicrographConfig, draw_micrograph, normal_image
from wafer_data.synthetic import GENERATORS

INK, MARK = "#1d2733", "#ff9d2e"
NAMES = {"line_space": "lines and spaces", "contacts": "contacts", "logic": "logic"}
DRAWS = 10  # of these the clearest anomaly is shown: at this size the faintest are hard to see
FIRST_INDEX = {"line_space": 10, "contacts": 110, "logic": 210}


def show(ax, image: np.ndarray, mask: np.ndarray | None, title: str = "") -> None:
    """An image, and the outline of its mask a few pixels outside it."""
    ax.imshow(image, cmap="gray", vmin=0, vmax=0.85, interpolation="nearest")
    if mask is not None:
        around = ndimage.binary_dilation(ndimage.binary_closing(mask, iterations=3), iterations=5)
        ax.contour(np.pad(around, 0), levels=[0.5], colors=[MARK], linewidths=0.9)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    if title:
        ax.set_title(title, fontsize=9, color=INK, pad=3)


def textured_surface(size: int, seed: int) -> np.ndarray:
    """A surface without pattern: a fine grain on soft clouds."""
    rng = np.random.default_rng(seed)
    clouds = ndimage.gaussian_filter(rng.standard_normal((size, size)), 14, mode="wrap")
    grain = ndimage.gaussian_filter(rng.standard_normal((size, size)), 1, mode="wrap")
    image = 0.42 + 0.05 * clouds / clouds.std() + 0.035 * grain / grain.std()
    return image.clip(0, 1).astype(np.float32)


def clearest(generator, surface: np.ndarray, donor: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a few draws the one with the strongest change, unless it covers more than a tenth of the image."""
    drawn = [generator(surface, np.random.default_rng(first + k), donor) for k in range(DRAWS)]
    local = [pair for pair in drawn if pair[1].mean() < 0.1] or drawn
    return max(local, key=lambda pair: np.abs(pair[0] - surface)[pair[1]].mean() * np.sqrt(pair[1].sum()))


def save(fig, path: Path) -> None:
    """As a palette image, a third of the size: greys, and greys on which some of the mark's colour lies."""
    greys = np.linspace(0, 255, 40)
    mark = np.array([int(MARK[k : k + 2], 16) for k in (1, 3, 5)])
    mixed = [share * mark + (1 - share) * grey for share in (0.35, 0.7, 1.0) for grey in greys[::8]]
    colours = np.concatenate([np.repeat(greys[:, None], 3, axis=1), mixed]).round().astype(int)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.ravel().tolist())
    buffer = io.BytesIO()
    fig.savefig(buffer, facecolor="white", format="png")
    drawn = Image.open(buffer).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    drawn.save(path, optimize=True)


def draw_anomalies(path: Path) -> None:
    """Every generator on three surfaces."""
    surfaces = [
        normal_image(MicrographConfig(size=160), 0, 3),
        normal_image(MicrographConfig(size=160, layout="contacts"), 0, 3),
        textured_surface(160, 0),
    ]
    donors = [
        normal_image(MicrographConfig(size=160), 0, 4),
        normal_image(MicrographConfig(size=160, layout="contacts"), 0, 4),
        textured_surface(160, 1),
    ]
    rows = -(-len(GENERATORS) // 2)
    fig, axes = plt.subplots(rows, 6, figsize=(11, 2 * rows), dpi=110)
    for ax in axes.ravel():
        ax.axis("off")
    for number, (name, generator) in enumerate(GENERATORS.items()):
        for k, (surface, donor) in enumerate(zip(surfaces, donors, strict=True)):
            image, mask = clearest(generator, surface, donor, first=DRAWS * (k + 3 * number))
            ax = axes[number % rows, 3 * (number // rows) + k]
            ax.axis("on")
            show(ax, image, mask, name if k == 1 else "")
    fig.subplots_adjust(left=0.005, right=0.995, top=0.945, bottom=0.005, wspace=0.03, hspace=0.13)
    fig.suptitle("Synthetic anomalies on SYNTHETIC surfaces (mask outlined)", fontsize=11, color=INK, y=0.985)
    save(fig, path)


def draw_micrographs(path: Path) -> None:
    """Every layout with every defect type."""
    kinds = (GOOD, *DEFECT_TYPES)
    fig, axes = plt.subplots(6, 4, figsize=(11, 17), dpi=100)
    for row, (layout, title) in enumerate(NAMES.items()):
        config = MicrographConfig(size=192, layout=layout)
        for number, kind in enumerate(kinds):
            drawn = draw_micrograph(config, 0, FIRST_INDEX[layout] + number, kind)
            ax = axes[2 * row + number // 4, number % 4]
            show(ax, drawn.image, drawn.mask, f"{title}: {kind}")
    fig.subplots_adjust(left=0.005, right=0.995, top=0.955, bottom=0.005, wspace=0.03, hspace=0.09)
    fig.suptitle("SYNTHETIC micrographs: no real wafer (mask outlined)", fontsize=11, color=INK, y=0.985)
    save(fig, path)


def main() -> None:
    """Draw and save both."""
    folder = Path(__file__).parent
    draw_anomalies(folder / "synthetic_anomalies.png")
    draw_micrographs(folder / "synthetic_micrographs.png")


if __name__ == "__main__":
    main()
