"""Does continued pretraining help? The teacher on sets that took no part in it, with and without.

    .venv/bin/python benchmarks/pretraining.py WORK --train NAME=DIR ... --test NAME=DIR ... --epochs 4

Both lists are data sets in MVTec layout. EfficientNet-Lite0 is pretrained further on the training images of the first
list and on synthetic micrographs, then both weights are adapted to each set of the second list in closed form, and the
image AUROC of the teacher is measured on its test images, with a paired bootstrap interval of the difference (2 000
resamples). The mean over the sets is resampled likewise. WORK keeps everything: an interrupted call goes on.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from eval.metrics import image_auroc
from eval.metrics.bootstrap import bootstrap_draws
from teacher.config import TeacherConfig
from teacher.fit import fit_teacher
from teacher.model import load_teacher
from teacher.pretrain.config import PretrainConfig
from teacher.pretrain.run import pretrain
from teacher.questions.config import QuestionsConfig
from wafer_data.config import DataConfig
from wafer_data.files import read_json, write_json
from wafer_data.micrograph import MicrographConfig, normal_image
from wafer_data.progress import track
from wafer_data.shards.item import Item
from wafer_data.shards.pack import pack, pack_candidates
from wafer_data.sources import find_images
from wafer_data.store import ImageStore, prepare_data

DRAWS = 2000


def main() -> None:
    """Pretrain, adapt, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--train", metavar="NAME=DIR", nargs="+", required=True)
    parser.add_argument("--test", metavar="NAME=DIR", nargs="+", required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images-per-epoch", type=int, default=600)
    parser.add_argument("--micrographs", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    args = parser.parse_args()
    sets = [pair.partition("=")[::2] for pair in args.train]
    archives = [str(_training_images(args.work, name, root)) for name, root in sets[1:]]
    if args.micrographs:
        archives.append(str(_micrographs(args.work, args.micrographs)))
    config = TeacherConfig(
        pretrain=PretrainConfig(
            enabled=True,
            archives=archives,
            epochs=args.epochs,
            images_per_epoch=args.images_per_epoch,
            learning_rate=args.learning_rate,
            batch_size=16,
        ),
        # the likelihood alone: whether a further question is asked is decided anew for each weights, and would be noise
        questions=QuestionsConfig(ask=[]),
    )
    out = args.work / f"pretrain-{args.epochs}-{args.learning_rate:g}"
    started = time.monotonic()
    if not (out / "backbone.json").is_file():
        pretrain(config, _store(args.work, *sets[0]), out)
    found: dict[str, object] = {"pretraining_seconds": round(time.monotonic() - started)}
    draws = []
    for name, root in (pair.partition("=")[::2] for pair in args.test):
        store = _store(args.work, name, root)
        labels = np.array([store.records[int(i)].label for i in store.indices("test")])
        scores = {
            kind: _scores(config, store, args.work / f"{kind}-{name}", weights)
            for kind, weights in (("without", None), (out.name, out))
        }
        without, with_it = scores.values()
        both = [
            bootstrap_draws({"auroc": image_auroc}, labels, s, DRAWS)["auroc"] for s in (with_it, without)
        ]
        draws.append(both[0] - both[1])
        found[name] = _line(image_auroc(labels, without), image_auroc(labels, with_it), draws[-1])
        print(json.dumps({name: found[name]}), flush=True)
    mean = [
        np.mean([found[name][k] for name in found if name != "pretraining_seconds"])
        for k in ("without", "with")
    ]  # type: ignore[index]
    found["mean"] = _line(mean[0], mean[1], np.mean(draws, axis=0))
    found["history"] = read_json(out / "backbone.json")["history"]
    print(json.dumps(found, indent=2))
    write_json(args.work / f"{out.name}.json", found)


def _line(without: float, with_it: float, draws: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(draws, (2.5, 97.5))
    values = {"without": without, "with": with_it, "difference": with_it - without, "low": low, "high": high}
    return {name: round(float(value), 4) for name, value in values.items()}


def _store(work: Path, name: str, root: str) -> ImageStore:
    out = work / f"data-{name}"
    config = DataConfig(format="mvtec", root=root, skip_bad_images=True)
    return ImageStore.open(out) if (out / "split.json").is_file() else prepare_data(config, out)


def _training_images(work: Path, name: str, root: str) -> Path:
    """The training side of a set as an archive; its test images stay out."""
    out = work / f"archive-{name}"
    found = find_images(DataConfig(format="mvtec", root=root))
    pack_candidates([candidate for candidate in found if candidate.side == "train"], out)
    return out


def _micrographs(work: Path, count: int) -> Path:
    config, out = MicrographConfig(), work / "archive-micrographs"

    def make(index: int) -> Item:
        file = io.BytesIO()
        Image.fromarray((normal_image(config, 0, index) * 255).astype("uint8")).save(file, "png")
        return Item(f"synthetic_{index:06d}.png", file.getvalue())

    pack(count, make, out, f"synthetic {config}")
    return out


@torch.no_grad()
def _scores(config: TeacherConfig, store: ImageStore, folder: Path, weights: Path | None) -> np.ndarray:
    """Scores of the test images by a teacher adapted with or without the pretrained weights."""
    kept = folder / "scores.json"
    if kept.is_file():
        return np.array(read_json(kept))
    if not (folder / "teacher.json").is_file():
        fit_teacher(config, store, folder, weights)
    teacher, test = load_teacher(folder), store.indices("test")
    parts = [
        teacher.score(torch.from_numpy(store.batch(test[start : start + 16]))).score
        for start in track(range(0, len(test), 16), "scoring")
    ]
    write_json(kept, torch.cat(parts).tolist())
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    main()
