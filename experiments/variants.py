"""Does the teacher hold on the same surface with other grey levels, bit depths, alignment and numbers of images?

    .venv/bin/python experiments/variants.py DIR OUT

DIR is a data set in MVTec AD layout. Each variant is written under OUT as files (every image and mask changed in the
same way), then split, fitted and measured with the defaults of `configs/mvtec.yaml`, up to the teacher: its students
imitate it, and a teacher takes a minute. The variants are the real images changed by rule; nothing is painted.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from eval.config import EvalConfig
from eval.report import evaluate_run
from teacher.config import TeacherConfig
from teacher.fit import fit_teacher
from wafer_data.config import DataConfig
from wafer_data.imaging.read import IMAGE_SUFFIXES, read_grey, to_square
from wafer_data.store import prepare_data

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
SIZE = 256


def same(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """8 bit, as it is."""
    return np.rint(255 * image).astype(np.uint8)


def flat(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """8 bit, a quarter of the contrast around a light grey."""
    return np.rint(255 * (0.6 + 0.25 * (image - 0.5))).astype(np.uint8)


def twelve_bits(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A 12-bit camera that writes 16-bit files: a sixteenth of the range."""
    return np.rint(4095 * image).astype(np.uint16)


def turned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """8 bit, turned by any multiple of 90 degrees and mirrored at random: nothing is aligned any more."""
    image = np.rot90(image, int(rng.integers(4)))
    return same(image[:, ::-1] if rng.random() < 0.5 else image, rng)


def shifted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """8 bit, a window of 80 % of the side at a random place."""
    side = round(0.8 * SIZE)
    y, x = rng.integers(SIZE - side + 1, size=2)
    return same(image[y : y + side, x : x + side], rng)


VARIANTS: dict[str, tuple[Change, int | None]] = {
    "as it is": (same, None),
    "a quarter of the contrast": (flat, None),
    "12 bits in 16-bit files": (twelve_bits, None),
    "turned and mirrored at random": (turned, None),
    "window moved at random": (shifted, None),
    "60 training and calibration normals": (same, 60),
}


def write_variant(source: Path, out: Path, change: Change, normals: int | None) -> None:
    """The data set with every image and mask changed; only `normals` of the training images, evenly spaced."""
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    training = [p for p in files if p.is_relative_to(source / "train")]
    if normals is not None:
        keep = {training[i] for i in np.linspace(0, len(training) - 1, normals).astype(int)}
        files = [p for p in files if p in keep or not p.is_relative_to(source / "train")]
    for path in files:
        target = (out / path.relative_to(source)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        # a mask moves like its image: the generator knows both by the name without the suffix _mask
        name = path.stem.removesuffix("_mask") + path.parent.name
        rng = np.random.default_rng(list(name.encode()))
        image = to_square(read_grey(path), SIZE)
        if source / "ground_truth" in path.parents:
            moves = change if change in (turned, shifted) else same
            Image.fromarray(np.where(moves(image, rng) > 127, 255, 0).astype(np.uint8)).save(target)
        else:
            Image.fromarray(change(image, rng)).save(target)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name, (change, normals) in VARIANTS.items():
        folder = arguments.out / name.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        write_variant(arguments.source, folder / "images", change, normals)
        store = prepare_data(DataConfig(format="mvtec", root=str(folder / "images")), folder / "data")
        fit_teacher(TeacherConfig(), store, folder / "teacher")
        report = evaluate_run(folder, EvalConfig(baselines=[], bootstrap=100, latency_runs=10))
        figures = report["models"]["teacher"]
        count = store.counts()["train_normal"]
        rows.append(
            f"| {name} | {count} | {store.levels.black:.3f} to {store.levels.white:.3f} | "
            f"{figures['image_auroc']:.4f} | {figures['fnr_at_fpr5']:.1%} | {figures['pixel_auroc']:.4f} |"
        )
    print(
        "| variant | training normals | levels | AUROC | FNR at 5 % FPR | pixel AUROC |\n" + "|---" * 6 + "|"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
