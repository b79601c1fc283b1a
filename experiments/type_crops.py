"""Which type is a defect, by a backbone's look at a crop around it? An alternative to what the full student computed.

    .venv/bin/python experiments/type_crops.py --bundle BUNDLE --folder TYPES [--novel TYPE ...]
    .venv/bin/python experiments/type_crops.py --run RUN [--part PATTERN --gap N] [--only TYPE ...] [--true-place]

The place is the strongest region of the full student's heat map (`--bundle`; TYPES holds a sub-folder of images a
type), or the highest cell of the teacher's map on the test defects of a run (`--run`), or the middle of the mask
(`--true-place`). A crop of `--side` pixels around it, brought to 128, goes through EfficientNet-Lite0 in its eight
mirrored and turned views; of each feature map the mean, the maximum and the mean of its middle quarter are taken, and a
shrunk linear discriminant tells the types apart. Drawn as `benchmarks/defect_classes.py` draws: at most 40 labels a
type, at most half of it, by whole parts. Prints, for three seeds, accuracy by one view and by the mean of eight, macro
F1, and how types that were never labelled are told from the others by their distance (AUROC).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from likelihood.arrays import on_arrays
from teacher.backbones import build_backbone
from teacher.config import TeacherConfig
from teacher.model import load_teacher
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import InputError
from wafer_data.parts import parts_of
from wafer_data.store import ImageStore
from wafer_map.geometry import find_regions

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from defect_classes import draw

INPUT, LABELS, SEEDS, BATCH, VIEWS = 128, 40, 3, 32, 8
LEVELS = {"strides 8, 16": (2, 3), "strides 4 to 16": (1, 2, 3), "strides 8 to 32": (2, 3, 4)}

Found = tuple[np.ndarray, float, float, str, str]
"""Image (S, S) in [0, 1], row and column of the defect in pixels, its type, the file's name."""


def in_bundle(bundle: Path, folder: Path) -> Iterator[Found]:
    """Defects where the full student sees them."""
    inspector = Inspector(bundle)
    reference = inspector.map_reference("full")
    for file in sorted(path for path in folder.glob("*/*") if path.parent.name != "good"):
        try:
            image = inspector.prepare(file)
        except InputError:
            continue  # the gate refuses it
        heat = inspector.students["full"](image).map
        (_, rows, columns), *_ = find_regions(heat, reference, image.shape[::-1], most=1, at_least_one=True)
        cell = image.shape[0] / heat.shape[0]
        yield image, (rows[0] + 0.5) * cell, (columns[0] + 0.5) * cell, file.parent.name, file.name


def in_run(run: Path, true_place: bool) -> Iterator[Found]:
    """Test defects where the teacher sees them, or where they are."""
    store, teacher = ImageStore.open(run / "data"), on_arrays(load_teacher(run / "teacher"))
    tests = store.indices("test", 1)
    for start in range(0, len(tests), BATCH):
        part = tests[start : start + BATCH]
        images = store.batch(part)
        for index, image, heat in zip(part.tolist(), images[:, 0], teacher(images).map, strict=True):
            mask, record = store.mask(index), store.records[index]
            place = (np.argwhere(heat == heat.max())[0] + 0.5) * store.size / heat.shape[0]
            if true_place and mask is not None and mask.any():
                place = np.argwhere(mask).mean(axis=0)
            yield image, float(place[0]), float(place[1]), record.type, Path(record.path).name


def cropped(image: np.ndarray, row: float, column: float, side: int) -> np.ndarray:
    padded = np.pad(image, side // 2, mode="reflect")
    return padded[int(row) : int(row) + side, int(column) : int(column) + side]


@torch.inference_mode()
def looked_at(crops: np.ndarray) -> list[np.ndarray]:
    """Of each feature map (n, 8, 3 * channels): mean, maximum and middle of the eight views."""
    net = build_backbone(TeacherConfig(layers=[0, 1, 2, 3, 4])).eval()
    views: list[list[np.ndarray]] = []
    for turn in range(VIEWS):
        seen = np.rot90(crops, turn % 4, (1, 2))
        seen = seen[:, :, ::-1] if turn >= 4 else seen
        parts: list[list[np.ndarray]] = [[] for _ in range(5)]
        for start in range(0, len(seen), BATCH):
            images = torch.from_numpy(seen[start : start + BATCH].copy())[:, None]
            images = F.interpolate(images, size=(INPUT, INPUT), mode="bilinear", align_corners=False)
            for level, plane in enumerate(net.net(net.normalise(images))):
                half, reach = plane.shape[-1] // 2, max(1, plane.shape[-1] // 8)
                middle = plane[..., half - reach : half + reach, half - reach : half + reach]
                pooled = [plane.mean((2, 3)), plane.amax((2, 3)), middle.mean((2, 3))]
                parts[level].append(torch.cat(pooled, 1).numpy())
        views.append([np.concatenate(rows) for rows in parts])
    return [np.stack([view[level] for view in views], axis=1) for level in range(5)]


def told(
    values: np.ndarray, labels: np.ndarray, shown: np.ndarray, novel: list[str], seed: int
) -> list[float]:
    """Accuracy by one view and by eight, macro F1, AUROC of types never labelled (nan without)."""
    learned, fresh = draw(labels, shown, LABELS, seed)
    strange = np.isin(labels, novel)
    learned, known, width = learned & ~strange, fresh & ~strange, values.shape[2]
    scale = StandardScaler().fit(values[learned].reshape(-1, width))
    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto")
    model.fit(scale.transform(values[learned].reshape(-1, width)), np.repeat(labels[learned], VIEWS))
    views = [model.predict_log_proba(scale.transform(values[known, view])) for view in range(VIEWS)]
    one, every = (model.classes_[odds.argmax(1)] for odds in (views[0], np.mean(views, axis=0)))
    area = float("nan")
    if novel:
        test = (fresh | strange) & ~learned
        middles = model.transform(scale.transform(values[learned].mean(axis=1)))
        means = np.stack([middles[labels[learned] == name].mean(axis=0) for name in model.classes_])
        found = model.transform(scale.transform(values[test].mean(axis=1)))
        area = roc_auc_score(strange[test], np.linalg.norm(found[:, None] - means, axis=2).min(axis=1))
    truth = labels[known]
    return [(one == truth).mean(), (every == truth).mean(), f1_score(truth, every, average="macro"), area]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--bundle", type=Path)
    source.add_argument("--run", type=Path)
    parser.add_argument("--folder", type=Path, help="with --bundle")
    parser.add_argument("--true-place", action="store_true", help="with --run")
    parser.add_argument("--side", type=int, default=96, help="of the crop, pixels (default: 96)")
    parser.add_argument("--part", metavar="PATTERN")
    parser.add_argument("--gap", type=int, default=0)
    parser.add_argument("--novel", nargs="*", default=[], help="types never labelled")
    parser.add_argument("--only", nargs="*", help="types that take part (default: all)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.bundle and not args.folder:
        parser.error("--bundle needs --folder")
    found = list(in_bundle(args.bundle, args.folder) if args.bundle else in_run(args.run, args.true_place))
    found = [one for one in found if not args.only or one[3] in args.only]
    crops = np.stack([cropped(image, row, column, args.side) for image, row, column, _, _ in found])
    labels, names = np.array([one[3] for one in found]), [one[4] for one in found]
    shown = np.array(parts_of(names, args.part, args.gap)) if args.part else np.arange(len(found))
    planes = looked_at(crops.astype(np.float32))
    print(
        f"{len(found)} defects; crops of {args.side} pixels; accuracy by one view, by eight, macro F1, AUROC of unknown"
    )
    for name, levels in LEVELS.items():
        values = np.concatenate([planes[level] for level in levels], axis=2)
        rows = np.array([told(values, labels, shown, args.novel, seed) for seed in range(SEEDS)])
        each = " ".join(f"{row[1]:.3f}" for row in rows)
        means = " ".join(f"{value:.3f}" for value in rows.mean(axis=0))
        print(f"{name} ({values.shape[2]} numbers): {means} (by eight: {each})", flush=True)


if __name__ == "__main__":
    main()
