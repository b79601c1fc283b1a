"""Signatures of real wafer maps: the classifier beside baselines, and p-values of random wafers.

    .venv/bin/python benchmarks/wafer_signatures.py MAPS [--seeds 0 1 2] [--die-pixels 10]

MAPS: folders test/KIND and train/good of map pictures, such as a rendering of WM-811K (Wu, Jang and Chen 2015). Of each
kind in test/ one half, drawn by the seed, is learned from, the other is tested on; train/good is learned from, too.
Kinds with fewer than 4 maps are left out, and named. Baselines on the same halves, with the same normal maps:
  nearest    1-nearest neighbour by the share of equal dies, in the best of eight orientations
  Radon      mean and deviation of 20 projections' rows (Wu et al. 2015), support vector machine
Printed: macro F1 and accuracy, F1 of each kind, milliseconds a map. Then, on wafers of the same shape with randomly
placed bad dies (synthetic): how often the signature test calls one a signature at the level 0.05, which must be about
that; and what it calls the real maps of each kind at 0.01.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from wafer_data.progress import track
from wafer_map.learn import learn_signatures, read_labelled_maps
from wafer_map.signature_features import BAD, OFF
from wafer_map.signatures import find_signatures
from wafer_map.wafer import WaferMap

_FEWEST = 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("maps", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--die-pixels", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    grids, kinds, _ = read_labelled_maps(args.maps / "test", args.die_pixels)
    normal, _, _ = read_labelled_maps(args.maps / "train", args.die_pixels)
    counts = Counter(kinds)
    left_out = {kind: count for kind, count in counts.items() if count < _FEWEST}
    kept = [i for i, kind in enumerate(kinds) if kind not in left_out]
    grids, kinds = [grids[i] for i in kept], [kinds[i] for i in kept]
    rows = [_one(grids, kinds, normal, seed) for seed in track(args.seeds, "seeds")]
    result = {"left_out": left_out, "maps": dict(Counter(kinds)), "normal": len(normal), "seeds": rows}
    result["tests"] = _tests(grids, kinds)
    print(json.dumps(result, indent=2) if args.json else _text(result))


def _one(grids: list[np.ndarray], kinds: list[str], normal: list[np.ndarray], seed: int) -> dict:
    rng = np.random.default_rng(seed)
    learn: list[int] = []
    for kind in sorted(set(kinds)):
        members = rng.permutation([i for i, other in enumerate(kinds) if other == kind])
        learn += members[: len(members) // 2].tolist()
    test = sorted(set(range(len(kinds))) - set(learn))
    known = [grids[i] for i in learn] + normal
    labels = [kinds[i] for i in learn] + ["good"] * len(normal)
    truth = [kinds[i] for i in test]
    model = learn_signatures(known, labels, seed)
    started = perf_counter()
    mine = [next(iter(model.probabilities(grids[i]))) for i in test]
    seconds = perf_counter() - started
    answers = {
        "waferroute": mine,
        "nearest": _nearest(known, labels, [grids[i] for i in test]),
        "Radon": _radon_svm(known, labels, [grids[i] for i in test]),
    }
    names = sorted(set(truth))
    return {
        "seed": seed,
        "learned": dict(Counter(labels)),
        "tested": dict(Counter(truth)),
        "ms": 1000 * seconds / len(test),
        "macro_f1": {n: f1_score(truth, a, average="macro", labels=names) for n, a in answers.items()},
        "accuracy": {n: accuracy_score(truth, a) for n, a in answers.items()},
        "f1": dict(zip(names, f1_score(truth, mine, average=None, labels=names).tolist(), strict=True)),
    }


def _nearest(known: list[np.ndarray], labels: list[str], test: list[np.ndarray]) -> list[str]:
    table = np.stack([(grid == BAD).ravel() for grid in known]).astype(np.float32)
    size = table.sum(axis=1)
    found = []
    for grid in test:
        turned = [np.rot90(g, k) for g in (grid == BAD, (grid == BAD)[:, ::-1]) for k in range(4)]
        views = np.stack([view.ravel() for view in turned]).astype(np.float32)
        differ = size[:, None] + views.sum(axis=1)[None] - 2 * table @ views.T
        found.append(labels[int(differ.min(axis=1).argmin())])
    return found


def _radon_features(grid: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(grid != OFF)
    values = (grid[rows, columns] == BAD).astype(float)
    y, x, side = rows - rows.mean(), columns - columns.mean(), max(grid.shape)
    table = []
    for theta in np.linspace(0, np.pi, 36, endpoint=False):
        place = np.rint(x * np.cos(theta) + y * np.sin(theta) + side / 2 + 1).astype(int).clip(0, side + 2)
        table.append(np.bincount(place, weights=values, minlength=side + 3))
    projections = np.stack(table, axis=1)
    at = np.linspace(0, projections.shape[0] - 1, 20)
    index = np.arange(projections.shape[0])
    return np.concatenate([np.interp(at, index, f(projections, axis=1)) for f in (np.mean, np.std)])


def _radon_svm(known: list[np.ndarray], labels: list[str], test: list[np.ndarray]) -> list[str]:
    model = make_pipeline(StandardScaler(), SVC(C=10, class_weight="balanced"))
    model.fit(np.stack([_radon_features(grid) for grid in known]), labels)
    return model.predict(np.stack([_radon_features(grid) for grid in test])).tolist()


def _tests(grids: list[np.ndarray], kinds: list[str]) -> dict:
    rng = np.random.default_rng(0)
    false, times, trials = 0, [], 200
    for _ in track(range(trials), "random wafers"):
        grid = grids[int(rng.integers(len(grids)))]
        on = np.flatnonzero(grid.ravel() != OFF)
        random = np.where(grid == OFF, OFF, 0).ravel()
        random[rng.permutation(on)[: int(rng.integers(len(on) // 50, len(on) // 4))]] = BAD
        started = perf_counter()
        found = find_signatures(WaferMap.from_grid(random.reshape(grid.shape)), level=0.05, permutations=199)
        times.append(perf_counter() - started)
        false += found.kind != "random"
    called: dict[str, Counter[str]] = {}
    for grid, kind in track(list(zip(grids, kinds, strict=True)), "real wafers"):
        found = find_signatures(WaferMap.from_grid(grid), level=0.01)
        called.setdefault(kind, Counter())[found.kind] += 1
    return {
        "random_wafers": trials,
        "called_signature_at_0.05": false / trials,
        "ms_199_permutations": 1000 * float(np.median(times)),
        "called": {kind: dict(counts.most_common()) for kind, counts in called.items()},
    }


def _text(result: dict) -> str:
    lines = [f"maps: {result['maps']}; further normal ones to learn from: {result['normal']}"]
    lines.append(f"left out: {result['left_out']}")
    for row in result["seeds"]:
        f1 = ", ".join(f"{name} {value:.3f}" for name, value in row["macro_f1"].items())
        lines.append(f"seed {row['seed']}: macro F1 {f1}")
        lines.append(f"    accuracy {row['accuracy']['waferroute']:.3f}; {row['ms']:.1f} ms a map")
        lines.append("    " + ", ".join(f"{kind} {value:.2f}" for kind, value in row["f1"].items()))
    for name in ("waferroute", "nearest", "Radon"):
        lines.append(
            f"mean macro F1 {name}: {np.mean([row['macro_f1'][name] for row in result['seeds']]):.3f}"
        )
    tests = result["tests"]
    share = tests["called_signature_at_0.05"]
    lines.append(f"random wafers called a signature at 0.05: {share:.3f} of {tests['random_wafers']}")
    lines.append(f"    {tests['ms_199_permutations']:.0f} ms with 199 permutations")
    lines += [f"    {kind}: {counts}" for kind, counts in tests["called"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
