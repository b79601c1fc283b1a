"""What does a student tell that learns painted defects from the paint itself, and which painters teach it most?

    .venv/bin/python experiments/painted_students.py DIR --images 8000 --epochs 12 [--without speck,slip,swap]

DIR is a data set in MVTec AD layout. A trunk of the full-resolution student's size with one channel learns, from copies
of the training normals of which most are painted, which cells are painted: `distill.imitation`'s cross-entropy and
nothing else, no teacher. Prints one JSON object: image AUROC and missed defects at 5 % false alarms by the mean of the
1, 3 and 10 top cells, AUROC of each type of defect, and that of the cells. On a GPU where there is one.
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

from distill.config import PoolConfig
from distill.imitation import defective_cells, painted_cross_entropy
from distill.pool import Pool, open_pool
from eval.metrics import fnr_at_fpr, image_auroc
from student_vae.config import StudentConfig
from student_vae.trunk import Trunk
from training.schedule import one_cycle
from wafer_data import synthetic
from wafer_data.augment import AugmentConfig
from wafer_data.config import DataConfig
from wafer_data.store import ImageStore, prepare_data

BATCH, RATE = 32, 3e-3
TOPS = (1, 3, 10)


def learn(pool: Pool, epochs: int, device: torch.device) -> nn.Module:
    """A trunk whose only channel is the log odds of a painted cell."""
    torch.manual_seed(0)
    trunk = Trunk(StudentConfig(), 1).to(device).train()
    optimizer = torch.optim.AdamW(trunk.parameters(), lr=RATE, weight_decay=1e-3)
    steps = epochs * (len(pool) // BATCH)
    rng = np.random.default_rng(0)
    assert pool.cover is not None
    for step in range(steps):
        if step % (len(pool) // BATCH) == 0:
            order = rng.permutation(len(pool))
        start = step % (len(pool) // BATCH) * BATCH
        rows = np.sort(order[start : start + BATCH])
        cover = torch.from_numpy(pool.cover[rows].astype(np.float32) / 255.0)
        images = torch.from_numpy(pool.batch(rows)).to(device)
        loss = painted_cross_entropy(
            trunk(4 * (images - 0.5))[:, 0], defective_cells(cover).to(device)
        ).mean()
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step, steps, RATE)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trunk.parameters(), 1.0)
        optimizer.step()
    return trunk.eval()


@torch.inference_mode()
def maps(trunk: nn.Module, store: ImageStore, rows: np.ndarray, device: torch.device) -> Tensor:
    """(N, 32, 32) log odds of the images `rows`."""
    parts = [torch.from_numpy(store.batch(rows[i : i + 32])).to(device) for i in range(0, len(rows), 32)]
    return torch.cat([trunk(4 * (part - 0.5))[:, 0].cpu() for part in parts])


def figures(trunk: nn.Module, store: ImageStore, device: torch.device) -> dict[str, Any]:
    """What it tells on the test images."""
    good, bad = store.indices("test", 0), store.indices("test", 1)
    normal, defect = (maps(trunk, store, rows, device) for rows in (good, bad))
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
        cells = [F.adaptive_avg_pool2d(mask[None], 32)[0] > 0.5 for _, mask in covers]
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
        pool = open_pool(Path(folder), store, PoolConfig(generated=arguments.images), 0, changes)
        trunk = learn(pool, arguments.epochs, device)
        print(json.dumps({"arguments": vars(arguments)} | figures(trunk, store, device), indent=1))


if __name__ == "__main__":
    main()
