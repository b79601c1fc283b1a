"""Ray with two workers against one process with two threads: teacher features of the same images.

    .venv/bin/python benchmarks/ray_speed.py WORK --images 1200

Draws synthetic micrographs of 256 x 256 pixels, prepares them, and computes the features of the training normals with
EfficientNet-Lite0 as `adapt` does: in this process with two threads, and on a local cluster of two workers of one core
(`--ray local`). Prints one JSON object: images a second of both by the clock, once with everything and once
from the first block that arrives on (a cluster's workers load Python, torch and the backbone once), their ratio, the
processor time of both, and of how many images the features differ: where a last batch is not full, two threads divide
it otherwise than one does, and its last bits are others. The clock says something on an idle computer only.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from teacher.backbones import build_backbone
from teacher.config import TeacherConfig
from teacher.fit import fit_projection
from teacher.model import Teacher
from teacher.normal_features import NormalFeatures
from teacher.on_ray import FeaturePass, hand_out
from teacher.project import project_images
from wafer_data.allocator import keep_freed_memory
from wafer_data.config import DataConfig
from wafer_data.micrograph import MicrographConfig, normal_image
from wafer_data.shards import Item
from wafer_data.shards.on_ray import on_cluster
from wafer_data.shards.pack import pack
from wafer_data.store import ImageStore, prepare_data


def main() -> None:
    """Draw, compute both ways, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--images", type=int, default=1200)
    args = parser.parse_args()
    keep_freed_memory()  # as `adapt` does
    store = _prepared(args.work, args.images)
    normals = store.indices("train", label=0)
    config = TeacherConfig()
    torch.set_num_threads(2)
    teacher = Teacher(build_backbone(config), config.directions).eval()
    fit_projection(teacher, store, normals[:64], config)
    hand_out(teacher, args.work / "handed-out")
    passes = FeaturePass((args.work / "data").absolute(), (args.work / "handed-out").absolute(), config)
    shape = (config.directions, config.map_size, config.map_size)
    found: dict[str, Any] = {"images": len(normals), "load": os.getloadavg()[0]}
    arrived: list[float] = []

    def here(rows: np.ndarray) -> torch.Tensor:
        return project_images(teacher, torch.from_numpy(store.batch(normals[rows])), config)

    def there(blocks: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        with on_cluster("local"):
            computed = passes.elsewhere()
        assert computed is not None
        for block in computed(blocks):
            arrived.append(time.perf_counter())
            yield block

    features = {}
    for name, elsewhere in (("one_process", None), ("ray", there)):
        started, processor = time.perf_counter(), time.process_time()
        kept = NormalFeatures(
            here,
            len(normals),
            shape,
            args.work / name,
            str(time.time()),
            40.0,
            config.batch_size,
            0,
            elsewhere,
        )
        seconds = time.perf_counter() - started
        features[name] = kept.rows(np.arange(len(normals)))
        found[name] = {
            "seconds": round(seconds, 2),
            "images_per_second": round(len(normals) / seconds, 1),
            "processor_seconds": round(time.process_time() - processor + _of_workers(), 1),
        }
    if len(arrived) > 2:
        late = len(normals) * (1 - 2 / len(arrived))  # two workers: their first blocks come together
        rate = late / (arrived[-1] - arrived[1])
        found["ray"]["images_per_second_after_the_start"] = round(rate, 1)
        found["ratio_after_the_start"] = round(rate / found["one_process"]["images_per_second"], 2)
    found["ratio"] = round(found["one_process"]["seconds"] / found["ray"]["seconds"], 2)
    here_found, there_found = features.values()
    found["same_features"] = bool(torch.equal(here_found, there_found))
    found["images_that_differ"] = int((here_found != there_found).flatten(1).any(1).sum())
    found["in_a_batch_that_is_not_full"] = len(normals) % config.batch_size
    print(json.dumps(found, indent=2))


def _of_workers() -> float:
    """Processor seconds of the cluster's workers that live; the part before the features is theirs, too."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if "ray::" in " ".join(process.cmdline()):
                total += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return total


def _prepared(work: Path, count: int) -> ImageStore:
    if not (work / "data" / "split.json").is_file():
        pack(count, _draw, work / "archive", "synthetic micrographs for ray_speed")
        prepare_data(DataConfig(format="shards", root=str(work / "archive")), work / "data")
    return ImageStore.open(work / "data")


def _draw(index: int) -> Item:
    file = io.BytesIO()
    Image.fromarray((normal_image(MicrographConfig(), 0, index) * 255).astype("uint8")).save(file, "png")
    return Item(f"synthetic_{index:06d}.png", file.getvalue())


if __name__ == "__main__":
    main()
