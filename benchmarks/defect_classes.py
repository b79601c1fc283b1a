"""How well a bundle's students tell the types of labelled defects: accuracy, sets, the unknown, time.

    python benchmarks/defect_classes.py BUNDLE FOLDER [--labels 40] [--seeds 3]

FOLDER holds one sub-folder of images a type. Of each type, at most `--labels` images and at most half of them, drawn at
random, are learned from; the others are the test. "flagged": those that the bundle does not PASS. Pictures of one
part are not kept together: the data sets do not say which those are.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from classify.learn import learn_types
from classify.model import TypeClassifier
from tool_side.runtime.defect_type import defect_features
from tool_side.runtime.inspector import Inspector
from waferroute.classes import measure_types


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    inspector = Inspector(args.bundle)
    values, names, files = measure_types(inspector, args.folder)
    labels = np.array(names)
    flagged = np.array([inspector.inspect(file).decision.value != "PASS" for file in files])
    print(f"{len(files)} images, {flagged.sum()} of them flagged")
    for seed in range(args.seeds):
        learned = draw(labels, args.labels, seed)
        model = learn_types(values[learned], labels[learned].tolist())
        for name, test in (("all", ~learned), ("flagged", ~learned & flagged)):
            print(f"seed {seed}, {name}: {judged(model, values[test], labels[test])}")
    for left in np.unique(labels):
        found = []
        for seed in range(args.seeds):
            learned = draw(labels, args.labels, seed) & (labels != left)
            model = learn_types(values[learned], labels[learned].tolist())
            test = flagged & ~learned
            typical = [-model.classify(one).typicality for one in values[test]]
            found.append(roc_auc_score(labels[test] == left, typical))
        print(f"{left} never labelled: AUROC unknown against known {' '.join(f'{x:.3f}' for x in found)}")
    print(
        f"one classification: {1000 * seconds(model, inspector, files[0]):.3f} ms, features and sets, median of 500"
    )


def draw(labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    rng, learned = np.random.default_rng(seed), np.zeros(len(labels), dtype=bool)
    for name in np.unique(labels):
        places = np.flatnonzero(labels == name)
        rng.shuffle(places)
        learned[places[: min(most, len(places) // 2)]] = True
    return learned


def judged(model: TypeClassifier, values: np.ndarray, labels: np.ndarray) -> str:
    verdicts = [model.classify(one) for one in values]
    best = np.array([next(iter(verdict.probabilities)) for verdict in verdicts])
    covered = np.array([label in verdict.set for label, verdict in zip(labels, verdicts, strict=True)])
    least = min(covered[labels == name].mean() for name in np.unique(labels))
    size = np.mean([len(verdict.set) for verdict in verdicts])
    return (
        f"{len(labels)} images, accuracy {np.mean(best == labels):.3f}, macro F1 "
        f"{f1_score(labels, best, average='macro'):.3f}, coverage {covered.mean():.3f} (least of a type {least:.3f}), "
        f"mean size of a set {size:.2f}"
    )


def seconds(model: TypeClassifier, inspector: Inspector, file: Path) -> float:
    image = inspector.prepare(file)
    output, unit = inspector.students["full"](image), inspector.map_reference("full")
    times = []
    for _ in range(500):
        start = time.perf_counter()
        model.classify(defect_features(image, output.map, output.latent, unit))
        times.append(time.perf_counter() - start)
    return float(np.median(times))


if __name__ == "__main__":
    main()
