"""Half a million images through `data` and the closed-form `adapt`: memory, time, and what a kill costs.

    .venv/bin/python benchmarks/half_million.py WORK --images 500000

Draws synthetic micrographs of 64 x 64 pixels into Parquet shards under WORK (goes on where it was interrupted), then
runs the stages `data` and `adapt` in processes of their own. The teacher sees 256 x 256 pixels, so an image is enlarged
as it is read; its backbone is one convolution with random weights over images shrunken again, so that the number of
images is what counts. Both stages are killed once half-way and started again. Prints one JSON object: seconds, peak
resident memory of each process, and what the kills made them do again. Nothing here says anything about accuracy. WORK
needs some 5 GB for 500 000 images.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

from PIL import Image

from wafer_data.micrograph import MicrographConfig, normal_image
from wafer_data.shards.item import Item
from wafer_data.shards.pack import pack

SIZE, ROWS = 64, 5000
CONFIG = MicrographConfig(size=SIZE)
STAGE = """
import json, resource, sys, time
from pathlib import Path
from wafer_data.allocator import keep_freed_memory
work, stage = Path(sys.argv[1]), sys.argv[2]
keep_freed_memory()  # as `waferroute` does for its stages
started = time.monotonic()
if stage == "data":
    from wafer_data.config import DataConfig
    from wafer_data.store import prepare_data
    prepare_data(DataConfig(format="shards", root=str(work / "archive")).at_size(64), work / "data")
else:
    import numpy as np
    import torch
    from torch import nn
    from likelihood import LevelConfig, LikelihoodConfig
    from teacher.config import TeacherConfig
    from teacher.fit import fit_teacher
    from teacher.module_backbone import ModuleBackbone, register_backbone
    from wafer_data.shards.store import ShardStore

    class Enlarged(ShardStore):
        def __init__(self, folder):
            super().__init__(folder)
            self.size = 256
        def pixels(self, index):
            return super().pixels(index).repeat(4, 0).repeat(4, 1)

    torch.manual_seed(0)
    net = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 16, 8, 8), nn.ReLU())
    backbone = ModuleBackbone(register_backbone(net), 8, (0.5,) * 3, (0.5,) * 3)
    levels = [LevelConfig(), LevelConfig(grid=8, mean_grid=8)]
    config = TeacherConfig(map_size=8, directions=8, likelihood=LikelihoodConfig(levels=levels))
    fit_teacher(config, Enlarged(work / "data"), work / "teacher", backbone=backbone)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"peak_mb": round(peak), "seconds": round(time.monotonic() - started, 1)}))
"""


def main() -> None:
    """Draw, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="folder to work in")
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument(
        "--processes", type=int, default=1, help="that draw (default: 1); the stages are one each"
    )
    args = parser.parse_args()
    started = time.monotonic()
    share = -(-args.images // args.processes // ROWS) * ROWS  # whole shards
    starts = range(0, args.images, share)
    with ProcessPoolExecutor(args.processes) as pool:
        list(
            pool.map(_pack, starts, [min(share, args.images - start) for start in starts], repeat(args.work))
        )
    found: dict[str, object] = {
        "images": args.images,
        "drawing_seconds": round(time.monotonic() - started, 1),
    }
    found["load"] = os.getloadavg()[0]
    for stage, kill in (("data", _kill_data), ("adapt", _kill_adapt)):
        found[f"{stage}_killed"] = kill(args.work, args.images)
        found[stage] = json.loads(_run(args.work, stage).communicate()[0])
        print(json.dumps({name: found[name] for name in (f"{stage}_killed", stage)}), flush=True)
    print(json.dumps(found, indent=2))


def _pack(start: int, count: int, work: Path) -> None:
    """Images `start` and following, as shards in a folder of their own."""
    folder = work / "archive" / f"{start:07d}"
    pack(count, lambda i: _draw(start + i), folder, f"synthetic {CONFIG} from {start}", ROWS)


def _draw(index: int) -> Item:
    file = io.BytesIO()
    grey = (normal_image(CONFIG, 0, index) * 255).astype("uint8")
    Image.fromarray(grey).save(file, "png", compress_level=1)
    return Item(f"synthetic_{index:06d}.png", file.getvalue())


def _run(work: Path, stage: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, str(work), stage], stdout=subprocess.PIPE, text=True
    )


def _kill_data(work: Path, images: int) -> dict[str, object]:
    """Kill `data` when half of its parts are done; the unfinished one is what has to be done again."""
    shards = -(-images // ROWS)
    started, process = time.monotonic(), _run(work, "data")
    while len(list(work.glob("data/parts/*/part.json"))) < shards // 2:
        if process.poll() is not None:
            raise SystemExit("data ended before it could be killed")
        time.sleep(0.2)
    process.kill()
    process.communicate()
    parts = {path.parent.name for path in work.glob("data/parts/*/part.json")}
    begun = {path.name for path in work.glob("data/parts/*")}
    return {
        "finished_parts": len(parts),
        "parts_done_again": len(begun - parts),
        "seconds_until_killed": round(time.monotonic() - started, 1),
        "share_lost": len(begun - parts) / shards,
    }


def _kill_adapt(work: Path, images: int) -> dict[str, object]:
    """Kill `adapt` when the features of half of the training images are noted; what is not noted is computed again."""
    normals, noted = json.loads((work / "data" / "split.json").read_text())["counts"]["train_normal"], 0
    started, process = time.monotonic(), _run(work, "adapt")
    while noted < normals // 2:
        if process.poll() is not None:
            raise SystemExit("adapt ended before it could be killed")
        time.sleep(0.2)
        note = work / "teacher/checkpoint/features/progress.json"
        noted = json.loads(note.read_text())["done"] if note.is_file() else 0
    process.kill()
    process.communicate()
    most = 50 * 16  # a note every 50 batches
    return {
        "training_images": normals,
        "noted": noted,
        "seconds_until_killed": round(time.monotonic() - started, 1),
        "share_lost_at_most": most / normals,
    }


if __name__ == "__main__":
    main()
