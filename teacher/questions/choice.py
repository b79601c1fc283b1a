"""Which questions count: decided by figures of out-of-fold normals and painted defects, and put into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import rankdata

from likelihood.answers import PLACE

EACH = 0.005
"""What a further question must add to the tried AUROC: of two choices as good as each other the shorter one stands."""
RESAMPLES = 200
LEAST = 0.25
"""A question that fewer resamples choose is not asked."""
WORDS = {
    "place": "is a cell expected at its place, in this image?",
    "detail": "is it expected there in every direction of the features, also those in which images hardly differ?",
    "context": "is it what its surroundings predict, wherever it lies?",
    "nearest": "is it near an appearance that normal cells have anywhere?",
    "painted": "does it look like a painted defect?",
}

Scores = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""question -> standardised scores of out-of-fold normals (n,) and of painted images (m,)."""


@dataclass(frozen=True)
class Choice:
    """What is asked, and why.

    weights: question -> its weight in the score; those that are asked, in the order of `Scores`. tried: question ->
    AUROC of painted images against normals; together: the same of the weighted sum. by_kind: question -> kind of
    defect -> AUROC. support: question -> share of resamples of the images in which it would have been asked.
    """

    weights: dict[str, float]
    tried: dict[str, float]
    together: float
    by_kind: dict[str, dict[str, float]]
    support: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "weights": self.weights,
            "tried": self.tried,
            "together": self.together,
            "by_kind": self.by_kind,
            "support": self.support,
            "sentences": self.sentences(),
        }

    def sentences(self) -> list[str]:
        """The choice and its evidence in words."""
        found = []
        for name, tried in self.tried.items():
            weight = f"asked with weight {self.weights[name]:.2f}" if name in self.weights else "not asked"
            found.append(
                f"{name} ({WORDS[name]}) AUROC {tried:.3f} on painted defects that it had not learned from; chosen in "
                f"{self.support[name]:.0%} of resamples: {weight}"
            )
        found.append(f"together: AUROC {self.together:.3f}")
        unsure = [name for name, share in self.support.items() if 0.25 <= share <= 0.75]
        if unsure:
            found.append(f"these images hardly decide about {', '.join(unsure)}: more training images would")
        return found


def auroc(normal: np.ndarray, other: np.ndarray) -> float:
    """Share of pairs in which `other` scores above `normal`, ties counting half."""
    ranks = rankdata(np.r_[normal, other])[len(normal) :].sum()
    return float((ranks - len(other) * (len(other) + 1) / 2) / (len(normal) * len(other)))


def choose(scores: Scores, kinds: np.ndarray, worth: float, seed: int) -> Choice:
    """Weights by how often a question belongs to the sum that tells painted images best, over resamples of the images.

    In each resample every sum of questions is tried, at a price for each further one, and all kinds of defect count
    alike; the place-bound likelihood, which every model has anyway, stands alone unless another sum tells painted
    images better by more than `worth`. A question's weight is its share of the resamples, 0 below `LEAST`: bagging
    (Breiman 1996, "Bagging Predictors") makes of a hard choice, which few images cannot carry, a soft one.

    Args:
        scores: see `Scores`; holds `PLACE`.
        kinds: (m,) of the painted images.
        worth: see `QuestionsConfig`.
        seed: of the bootstrap.
    """
    names = list(scores)
    normal = np.stack([scores[name][0] for name in names], 1)
    painted = np.stack([scores[name][1] for name in names], 1)
    subsets = [c for k in range(1, len(names) + 1) for c in combinations(range(len(names)), k)]
    mixing = np.zeros((len(names), len(subsets)))
    for column, subset in enumerate(subsets):
        mixing[list(subset), column] = 1.0
    normals, others = normal @ mixing, painted @ mixing
    found = _aurocs(normals, others, kinds)
    place = names.index(PLACE)
    rng = np.random.default_rng((seed, 43))
    votes = np.zeros(len(names))
    for _ in range(RESAMPLES):
        rows, columns = (
            rng.integers(len(normals), size=len(normals)),
            rng.integers(len(others), size=len(others)),
        )
        again = _aurocs(normals[rows], others[columns], kinds[columns])
        votes[list(subsets[_best(again, subsets, place, worth)])] += 1
    share = votes / RESAMPLES
    kept = np.where(share >= min(LEAST, share.max()), share, 0.0)
    kept /= kept.sum()
    together = _aurocs((normal @ kept)[:, None], (painted @ kept)[:, None], kinds)[0]
    weights = {name: round(float(w), 4) for name, w in zip(names, kept, strict=True) if w}
    tried = {name: round(float(found[i]), 4) for i, name in enumerate(names)}
    by_kind = {
        name: {
            str(kind): round(auroc(normal[:, i], painted[kinds == kind, i]), 4) for kind in np.unique(kinds)
        }
        for i, name in enumerate(names)
    }
    support = {name: round(float(one), 3) for name, one in zip(names, share, strict=True)}
    return Choice(weights, tried, round(float(together), 4), by_kind, support)


def _aurocs(normal: np.ndarray, painted: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Mean over the kinds of the AUROC of each column; normal (n, S), painted (m, S) -> (S,)."""
    order = np.sort(normal, 0)
    wins = np.empty(painted.shape)
    for column in range(painted.shape[1]):
        below = np.searchsorted(order[:, column], painted[:, column], "left")
        up_to = np.searchsorted(order[:, column], painted[:, column], "right")
        wins[:, column] = (below + up_to) / (2 * len(normal))
    return np.mean([wins[kinds == kind].mean(0) for kind in np.unique(kinds)], 0)


def _best(found: np.ndarray, subsets: list[tuple[int, ...]], place: int, worth: float) -> int:
    alone = subsets.index((place,))
    net = found - EACH * np.array([len(subset) - 1 for subset in subsets])
    best = int(np.argmax(net))
    return best if net[best] > net[alone] + worth else alone
