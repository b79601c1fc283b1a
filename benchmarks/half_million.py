"""Half a million images through `data` and the closed-form `adapt`: memory, time, and what a kill costs.

    .venv/bin/python benchmarks/half_million.py WORK --images 500000

Draws synthetic micrographs of 64 x 64 pixels into Parquet shards under WORK (goes on where it was interrupted), then
runs the stages `data` and `adapt` in processes of their own, with timm's smallest test network with random weights as
the backbone, so that the number of images is what counts. `data` is killed once half-way and started again. Prints one
JSON object: seconds, peak resident memory of each process, and the share of the images that the kill made it do again.
Nothing here says anything about accuracy. WORK needs some 5 GB for 500 000 images.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from wafer_data.micrograph import MicrographConfig, normal_image
from wafer_data.shards.item import Item
from wafer_data.shards.pack import pack

SIZE, ROWS = 64, 5000
STAGE = """
import json, resource, sys, time
from pathlib import Path
work, stage = Path(sys.argv[1]), sys.argv[2]
started = time.monotonic()
if stage == "data":
    from wafer_data.config import DataConfig
    from wafer_data.store import prepare_data
    prepare_data(DataConfig(format="shards", root=str(work / "archive")).at_size(64), work / "data")
else:
    import timm
    from safetensors.torch import save_file
    from likelihood import LevelConfig, LikelihoodConfig
    from teacher.config import TeacherConfig
    from teacher.fit import fit_teacher
    from wafer_data.store import ImageStore
    weights = work / "random.safetensors"
    net = timm.create_model("test_efficientnet", pretrained=False, features_only=True)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, weights)
    fine = LevelConfig(grid=8, mean_grid=8)
    fit_teacher(
        TeacherConfig(backbone="file", model="test_efficientnet", weights=str(weights), map_size=8, directions=8,
                      likelihood=LikelihoodConfig(levels=[LevelConfig(), fine])),
        ImageStore.open(work / "data"), work / "teacher")
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
    args = parser.parse_args()
    config = MicrographConfig(size=SIZE)
    started = time.monotonic()
    pack(args.images, lambda i: _draw(config, i), args.work / "archive", f"synthetic {config}", ROWS)
    found: dict[str, object] = {
        "images": args.images,
        "drawing_seconds": round(time.monotonic() - started, 1),
    }
    found["kill"] = _kill_half_way(args.work, args.images)
    for stage in ("data", "adapt"):
        found[stage] = json.loads(_run(args.work, stage).communicate()[0])
    print(json.dumps(found, indent=2))


def _draw(config: MicrographConfig, index: int) -> Item:
    file = io.BytesIO()
    grey = (normal_image(config, 0, index) * 255).astype("uint8")
    Image.fromarray(grey).save(file, "png", compress_level=1)
    return Item(f"synthetic_{index:06d}.png", file.getvalue())


def _run(work: Path, stage: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, str(work), stage], stdout=subprocess.PIPE, text=True
    )


def _kill_half_way(work: Path, images: int) -> dict[str, object]:
    """Kill `data` when half of its parts are done; the unfinished one is what has to be done again."""
    shards = -(-images // ROWS)
    process = _run(work, "data")
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
        "share_lost": len(begun - parts) / shards,
    }


if __name__ == "__main__":
    main()
