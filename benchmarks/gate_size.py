"""How many images a gate needs: how often does a candidate pass that is as good as production? Simulated scores.

    python benchmarks/gate_size.py --trials 20

Two trainings on the same data give scores that differ by a noise; defects lie `--shift` robust standard deviations
above normal images. A candidate whose paired intervals are wider than the gate's `worse` is refused however good it is.
Lost defects are named but not counted here (`regressions` is the site's to choose).
"""

import argparse
import json
from pathlib import Path

import numpy as np

from lifecycle.gate.gate import Thresholds, compare
from lifecycle.gate.scored import LabelledImage, ScoredSet

FLAG_ABOVE = 1.9


def passes(rng: np.random.Generator, normals: int, defects: int, noise: float, shift: float) -> bool:
    """Whether an equal candidate passes once."""
    images = [
        LabelledImage(Path(), "good" if i < normals else "defect", str(i)) for i in range(normals + defects)
    ]
    shared = rng.normal(0, 1, normals + defects) + shift * np.repeat([0.0, 1.0], [normals, defects])
    sides = []
    for _ in range(2):
        scores = shared + rng.normal(0, noise, len(shared))
        sides.append(ScoredSet(scores, scores < FLAG_ABOVE, np.ones(len(shared))))
    return compare(images, sides[0], sides[1], Thresholds(regressions=len(images))).passed


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.2])
    parser.add_argument("--shift", type=float, default=4.0)
    args = parser.parse_args()
    found = []
    for noise in args.noise:
        for normals, defects in ((200, 50), (500, 150), (1000, 300), (2000, 600), (4000, 1200)):
            rng = np.random.default_rng(7)
            passed = sum(passes(rng, normals, defects, noise, args.shift) for _ in range(args.trials))
            found.append(
                {"noise": noise, "normals": normals, "defects": defects, "passed": passed, "of": args.trials}
            )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
