"""How far should a heat map with answers be averaged, and how? Pixel AUROC and AUPRO of a model of a run.

    .venv/bin/python benchmarks/panel.py OUT --case circuits=DIR --teacher
    .venv/bin/python experiments/answer_maps.py OUT/circuits-0 [--model teacher|full|lowres] [--images 400]

The run's surface must ask more than places. Prints one JSON object: of the map as it comes from the cells, of that
averaged over squares of cells (its values or their logarithms), and of the highest cell of each square.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eval.metrics.pixel import PixelHistograms
from eval.scoring import upsample
from likelihood import answers as with_answers
from likelihood.level import smoothed
from student_vae import load_student
from teacher.model import load_teacher
from wafer_data.spread import spread
from wafer_data.store import ImageStore

BATCH = 16


def highest(heat: Tensor, window: int) -> Tensor:
    """(B, h, h) -> the same, each cell the highest of the square of `window` cells around it."""
    return F.max_pool2d(heat[:, None], window, 1, window // 2)[:, 0]


READINGS = {
    "as it comes": lambda heat: heat,
    **{f"mean of {n} x {n}": lambda heat, n=n: smoothed(heat, n) for n in (3, 5, 7)},
    "half of it, half the mean of 5 x 5": lambda heat: (heat + smoothed(heat, 5)) / 2,
    **{f"mean of logarithms, {n} x {n}": lambda heat, n=n: smoothed(heat.log(), n).exp() for n in (3, 5)},
    **{f"highest of {n} x {n}": lambda heat, n=n: highest(heat, n) for n in (3, 5)},
}


def main() -> None:
    """Score, read each map in every way, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("--model", choices=("teacher", "full", "lowres"), default="teacher")
    parser.add_argument("--images", type=int, help="of the test images at most so many (default: all)")
    arguments = parser.parse_args()
    store = ImageStore.open(arguments.run / "data")
    load = load_teacher if arguments.model == "teacher" else load_student
    model = load(arguments.run / arguments.model).eval()
    with_answers.MAP_SMOOTHING = 1  # half of itself and half of itself
    tests = store.indices("test")
    tests = spread(tests, arguments.images or len(tests))
    found = {name: PixelHistograms() for name in READINGS}
    for start in range(0, len(tests), BATCH):
        part = tests[start : start + BATCH]
        with torch.inference_mode():
            heat = model.likelihood(model.features(torch.from_numpy(store.batch(part)))).map
        masks = [store.mask(int(i)) for i in part]
        judged = [m is not None or not store.records[int(i)].label for i, m in zip(part, masks, strict=True)]
        truth = np.stack([np.zeros((store.size,) * 2, bool) if mask is None else mask for mask in masks])
        for name, reading in READINGS.items():
            planes = upsample(reading(heat).numpy(), store.size)
            found[name].update(planes[judged], truth[judged])
    figures = {
        name: {"pixel_auroc": round(h.auroc(), 4), "aupro": round(h.aupro(), 4)} for name, h in found.items()
    }
    print(json.dumps({"run": arguments.run.name, "model": arguments.model} | figures, indent=1))


if __name__ == "__main__":
    main()
