"""What does a student tell that learns painted defects from the paint itself, and which painters teach it most?

    .venv/bin/python experiments/painted_students.py DIR --images 8000 --epochs 12 [--without speck,slip,swap]
    .venv/bin/python experiments/painted_students.py DIR --student lowres --images 4800 --epochs 8 --batch 16

DIR is a data set in MVTec AD layout. A trunk of a student's size with one channel learns, from copies of the training
normals of which most are painted and some turned by any angle, which cells are painted: `distill.imitation`'s
cross-entropy and nothing else, no teacher. `--student`: full; lowres, as it is where more than places is asked; or
coarse, the low-resolution one of surfaces that ask for places alone. Prints one JSON object: image AUROC and missed
defects at 5 % false alarms by the mean of the 1, 3 and 10 top cells, AUROC of each type of defect, and that of the
cells. On a GPU where there is one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.config import DistillConfig, PoolConfig
from distill.imitation import cells_of, painted_cross_entropy
from distill.pool import Pool, open_pool
from distill.stages import TURNED
from eval.metrics import fnr_at_fpr, image_auroc
from student_vae.config import StudentConfig
from student_vae.trunk import Trunk
from training.schedule import one_cycle
from wafer_data import synthetic
from wafer_data.augment import AugmentConfig
from wafer_data.config import DataConfig
from wafer_data.image_size import IMAGE_SIZE
from wafer_data.store import ImageStore, prepare_data

RATE = 3e-3
TOPS = (1, 3, 10)


class Painted(nn.Module):
    """A student's trunk whose only channel is the log odds of a painted cell."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.trunk, self.factor, self.side = (
            Trunk(config, 1),
            IMAGE_SIZE // config.input_size,
            config.map_size,
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 256, 256) in [0, 1] -> (B, side, side)."""
        small: Tensor = F.avg_pool2d(images, self.factor) if self.factor > 1 else images
        found: Tensor = self.trunk(4 * (small - 0.5))[:, 0]
        return found

    def truth(self, cover: Tensor) -> Tensor:
        """(B, 32, 32) painted shares -> (B, side, side) which cells are defective."""
        return cells_of(cover, self.side)


def students() -> dict[str, StudentConfig]:
    """Those that can be named."""
    config = DistillConfig()
    return {
        "full": config.full.student,
        "lowres": config.stage_of("lowres", True).student,
        "coarse": config.lowres.student,
    }


def learn(pool: Pool, config: StudentConfig, epochs: int, batch: int, device: torch.device) -> Painted:
    """A trained one."""
    torch.manual_seed(0)
    model = Painted(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4)
    steps = epochs * (len(pool) // batch)
    rng = np.random.default_rng(0)
    assert pool.cover is not None
    for step in range(steps):
        if step % (len(pool) // batch) == 0:
            order = rng.permutation(len(pool))
        start = step % (len(pool) // batch) * batch
        rows = np.sort(order[start : start + batch])
        cover = torch.from_numpy(pool.cover[rows].astype(np.float32) / 255.0)
        images = torch.from_numpy(pool.batch(rows)).to(device)
        loss = painted_cross_entropy(model(images), model.truth(cover).to(device)).mean()
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step, steps, RATE)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@torch.inference_mode()
def maps(model: Painted, store: ImageStore, rows: np.ndarray, device: torch.device) -> Tensor:
    """(N, side, side) log odds of the images `rows`."""
    parts = [torch.from_numpy(store.batch(rows[i : i + 32])).to(device) for i in range(0, len(rows), 32)]
    return torch.cat([model(part).cpu() for part in parts])


def figures(model: Painted, store: ImageStore, device: torch.device) -> dict[str, Any]:
    """What it tells on the test images."""
    good, bad = store.indices("test", 0), store.indices("test", 1)
    normal, defect = (maps(model, store, rows, device) for rows in (good, bad))
    types = np.array([store.records[int(i)].type for i in bad])
    labels = np.r_[np.zeros(len(good), int), np.ones(len(bad), int)]
    found: dict[str, Any] = {}
    for top in TOPS:
        scores = torch.cat([normal, defect]).flatten(1).topk(top, 1).values.mean(1).numpy()
        by_type = {
            str(name): round(image_auroc(labels[keep], scores[keep]), 4)
            for name in np.unique(types)
            for keep in [np.r_[np.ones(len(good), bool), types == name]]
        }
        found[f"top_{top}"] = {
            "auroc": round(image_auroc(labels, scores), 4),
            "fnr_at_fpr5": round(fnr_at_fpr(labels, scores), 4),
            "by_type": by_type,
        }
    shown = [(i, store.mask(int(row))) for i, row in enumerate(bad)]
    covers = [(i, torch.from_numpy(mask.astype(np.float32))) for i, mask in shown if mask is not None]
    if covers:
        cells = [F.adaptive_avg_pool2d(mask[None], model.side)[0] > 0.5 for _, mask in covers]
        values = torch.cat([normal.flatten(), *(defect[i].flatten() for i, _ in covers)]).numpy()
        truth = np.r_[np.zeros(normal.numel(), int), torch.cat([c.flatten() for c in cells]).int().numpy()]
        found["cell_auroc"] = round(image_auroc(truth, values), 4)
    return found


def main() -> None:
    """Prepare, paint, learn, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", help="data set in MVTec AD layout")
    parser.add_argument("--images", type=int, default=8000, help="copies in the pool (default: 8000)")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=32, help="images a step (default: 32)")
    parser.add_argument("--student", choices=students(), default="full", help="whose trunk (default: full)")
    parser.add_argument("--without", default="", help="painters to leave out, comma-separated")
    arguments = parser.parse_args()
    for name in filter(None, arguments.without.split(",")):
        del synthetic.ANOMALY_TYPES[name]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        store = prepare_data(DataConfig(format="mvtec", root=arguments.root), Path(folder) / "data")
        changes = AugmentConfig(
            horizontal_flip=True, vertical_flip=True, rotate90=True, brightness=0.05, contrast=0.1
        )
        pool = open_pool(
            Path(folder), store, PoolConfig(generated=arguments.images), 0, changes, warped=TURNED
        )
        config = students()[arguments.student]
        model = learn(pool, config, arguments.epochs, arguments.batch, device)
        size = {"parameters": sum(p.numel() for p in model.parameters())}
        print(json.dumps({"arguments": vars(arguments)} | size | figures(model, store, device), indent=1))


if __name__ == "__main__":
    main()
