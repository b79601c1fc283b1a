"""How well a bundle's students tell the types of labelled defects: accuracy, sets, the unknown, its groups, time.

    python benchmarks/defect_classes.py BUNDLE FOLDER [--part PATTERN [--gap N]] [--novel TYPE ...] [--only TYPE ...]

FOLDER holds one sub-folder of images a type. Of each type at most `--labels` images, and at most half of them, are
learned from; the others are the test. With --part whole parts are drawn, and pictures of a part that is learned from
are left out of the test; without it a test picture may show a part that the classifier knows. "flagged": images that
the bundle does not PASS. Three seeds. For the magnetic tiles: --part 'num_([0-9]+)' --gap 200.
"""

import argparse
import json
import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import f1_score, roc_auc_score

from classify.crops import PLACES, Example, look_at, peaks
from classify.features import Seen
from classify.group import group_unknown
from classify.model import TypeClassifier
from tool_side.bundle.load import load_bundle
from tool_side.runtime.defect_type import Types, describe, strongest_features
from tool_side.runtime.inspector import Inspector
from wafer_data.parts import parts_of
from waferroute.classes import learn_examples, measure_types


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", metavar="PATTERN")
    parser.add_argument("--gap", type=int, default=0)
    parser.add_argument("--novel", nargs="*", help="types never labelled (default: each in turn)")
    parser.add_argument("--only", nargs="*", help="types that take part (default: all)")
    parser.add_argument("--quick", action="store_true", help="by what the students computed, without crops")
    args = parser.parse_args()
    bundle = replace(load_bundle(args.bundle), classes=None)
    inspector = Inspector(bundle, measuring=True, quick=args.quick)
    every, names, files = measure_types(inspector, args.folder)
    kept = [i for i, name in enumerate(names) if not args.only or name in args.only]
    found, labels, files = [every[i] for i in kept], np.array(names)[kept], [files[i] for i in kept]
    flagged = np.array([inspector.inspect(file).decision.value != "PASS" for file in files])
    shown = np.arange(len(files))
    if args.part:
        shown = np.array(parts_of([file.name for file in files], args.part, args.gap))
    print(
        f"{len(files)} images of {len(np.unique(shown))} parts, {flagged.sum()} flagged, "
        f"{found[0].views.shape[1]} features; {sum(len(one.nothing) for one in found)} places beside defects"
    )
    print("types:", dict(Counter(labels.tolist())))
    always = np.isin(labels, args.novel or [])
    figures = []
    for seed in range(args.seeds):
        learned, fresh = draw(labels, shown, args.labels, seed)
        learned &= ~always
        model = learned_from(found, labels, shown, learned, seed, inspector.measures)
        for name, test in (("all", fresh & ~always), ("flagged", fresh & flagged & ~always)):
            row = figures_of(model, chosen(model, found, test), labels[test])
            print(f"seed {seed}, {name}: {said(row)}")
            if name == "flagged":
                figures.append(row)
    print("flagged, mean:", said({key: float(np.mean([one[key] for one in figures])) for key in figures[0]}))
    groups = [args.novel] if args.novel else [[name] for name in np.unique(labels)]
    for left in groups:
        unknown(found, labels, shown, flagged, left, args.labels, args.seeds, inspector.measures)
    timed(model, inspector, files[0])


def learned_from(
    found: list[Example],
    labels: np.ndarray,
    shown: np.ndarray,
    learned: np.ndarray,
    seed: int,
    measures: int,
) -> TypeClassifier:
    rows = np.flatnonzero(learned)
    parts = shown[learned].tolist()
    return learn_examples(
        [found[i] for i in rows], labels[learned].tolist(), measured=measures, parts=parts, seed=seed
    )


def chosen(model: TypeClassifier, found: list[Example], test: np.ndarray) -> np.ndarray:
    """What the classifier looks at of each image, (n, f): the most telling of the places that are offered."""
    offered = [found[i].offered for i in np.flatnonzero(test)]
    return np.stack([one[model.most_telling(one)] for one in offered])


def draw(labels: np.ndarray, shown: np.ndarray, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Whom to learn from, by whole parts, and whom to test on: pictures of no part that is learned from."""
    rng, learned = np.random.default_rng(seed), np.zeros(len(labels), dtype=bool)
    for name in np.unique(labels):
        room = min(most, int((labels == name).sum()) // 2)
        for part in rng.permutation(np.unique(shown[labels == name])):
            pictures = (labels == name) & (shown == part)
            if pictures.sum() <= room:
                learned |= pictures
                room -= int(pictures.sum())
    return learned, ~np.isin(shown, shown[learned])


def figures_of(model: TypeClassifier, values: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    verdicts = [model.classify(one) for one in values]
    best = np.array([next(iter(verdict.probabilities)) for verdict in verdicts])
    covered = np.array([label in verdict.set for label, verdict in zip(labels, verdicts, strict=True)])
    return {
        "images": len(labels),
        "accuracy": float(np.mean(best == labels)),
        "macro F1": float(f1_score(labels, best, average="macro")),
        "coverage": float(covered.mean()),
        "coverage from": binomtest(int(covered.sum()), len(covered)).proportion_ci().low,
        "coverage to": binomtest(int(covered.sum()), len(covered)).proportion_ci().high,
        "least of a type": float(min(covered[labels == name].mean() for name in np.unique(labels))),
        "set size": float(np.mean([len(verdict.set) for verdict in verdicts])),
        "known types in a set": float(np.mean([len(set(verdict.set) - {"unknown"}) for verdict in verdicts])),
    }


def unknown(
    found: list[Example],
    labels: np.ndarray,
    shown: np.ndarray,
    flagged: np.ndarray,
    left: list[str],
    most: int,
    seeds: int,
    measures: int,
) -> None:
    """Types that are never labelled: are they recognised, and are groups of what may be unknown of one type?"""
    novel = np.isin(labels, left)
    areas, recognised, purities, grouped = [], [], [], []
    for seed in range(seeds):
        learned, fresh = draw(labels, shown, most, seed)
        learned &= ~novel
        model = learned_from(found, labels, shown, learned, seed, measures)
        test = flagged & (fresh | novel) & ~learned
        values = chosen(model, found, test)
        verdicts = [model.classify(one) for one in values]
        areas.append(roc_auc_score(novel[test], [-verdict.typicality for verdict in verdicts]))
        strange = np.array(["unknown" in verdict.set for verdict in verdicts])
        recognised.append(np.mean(strange[novel[test]]))
        if strange.sum() >= 5:
            purity, share = purity_of(model, values[strange], labels[test][strange])
            purities.append(purity)
            grouped.append(share)
    print(
        f"{'+'.join(left)} never labelled: AUROC {' '.join(f'{x:.3f}' for x in areas)}; unknown in the set of "
        f"{np.mean(recognised):.2f} of them; purity of groups {' '.join(f'{x:.3f}' for x in purities) or '-'}, "
        f"{np.mean(grouped) if grouped else 0:.2f} of the strange ones in a group"
    )


def purity_of(model: TypeClassifier, values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Share of the grouped defects that are of their group's most frequent type, and share that is grouped."""
    groups = group_unknown(model.whitened(values)).groups
    hits = sum(Counter(labels[groups == g].tolist()).most_common(1)[0][1] for g in range(groups.max() + 1))
    inside = int((groups >= 0).sum())
    return (hits / inside if inside else float("nan")), inside / len(labels)


def said(found: dict[str, float]) -> str:
    return json.dumps({key: round(value, 3) for key, value in found.items()})


def timed(model: TypeClassifier, inspector: Inspector, file: Path) -> None:
    """What a flagged image costs more, one thread: its sets; and with geometry and features."""
    image = inspector.prepare(file)
    output, unit = inspector.students["full"](image), inspector.map_reference("full")
    seen = Seen(image, output.map, output.latent, output.cells)
    size = (image.shape[1], image.shape[0])
    look = inspector.crop_look
    places = peaks(output.map, PLACES, image.shape[-1])
    features = (
        strongest_features(seen, unit) if look is None else look_at(image, output.map, places[:1], look)[0]
    )
    for name, call in (
        ("sets of one defect", lambda: model.classify(features)),
        ("defects found, measured and classified", lambda: describe(Types(model, look), seen, unit, size)),
        ("of which finding them", lambda: describe(None, seen, unit, size)),
    ):
        times = []
        for _ in range(300):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        low, middle = 1000 * np.quantile(times, [0.05, 0.5])
        print(f"{name}: median {middle:.3f} ms, fastest twentieth {low:.3f} ms")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
