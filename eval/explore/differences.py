"""How two groups of images differ in single numbers, and how much of that picking the best number overstates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from eval.explore.statistics import STATISTICS
from eval.metrics import bootstrap_interval, fnr_at_fpr, image_auroc
from wafer_data.progress import track

SHUFFLES = 400


@dataclass(frozen=True)
class Difference:
    """One statistic of normals and defects. Intervals: central 95 %, bootstrap within each group.

    Attributes:
        auroc: The chance that a random defect has the higher value, ties counting half; above 0.5 defects are
            higher, below 0.5 lower. cliffs_delta = 2 auroc - 1 (Cliff, "Dominance statistics", Psychological
            Bulletin 1993), in [-1, 1].
        normal, defect: Medians, intensities as shares of full scale.
    """

    name: str
    normal: float
    defect: float
    auroc: float
    auroc_interval: tuple[float, float]
    cliffs_delta: float
    cliffs_delta_interval: tuple[float, float]

    @property
    def strength(self) -> float:
        """The AUROC of a threshold on the better side, in [0.5, 1]."""
        return max(self.auroc, 1 - self.auroc)


@dataclass(frozen=True)
class Threshold:
    """The best single statistic. It was picked on the images it is judged on: its figures are too good.

    Attributes:
        side: "above" if defects have higher values, else "below".
        strength: Its AUROC, turned to lie above 0.5.
        missed_at_5: Share of defects missed when 5 % of the normals are stopped.
        chance: Strength that the best of all statistics reaches, or exceeds, in 1 of 20 shuffles of the
            labels.
        per_type: AUROC of each type against all normals, turned the same way, with its interval and number of
            defects.
    """

    name: str
    side: str
    strength: float
    strength_interval: tuple[float, float]
    missed_at_5: float
    missed_at_5_interval: tuple[float, float]
    chance: float
    per_type: dict[str, tuple[float, tuple[float, float], int]]


def compare(normals: np.ndarray, defects: np.ndarray, bootstrap: int, seed: int) -> list[Difference]:
    """Every statistic of normals (N, 8) against defects (D, 8), both of at least one row."""
    labels = _labels(normals, defects)
    found = []
    for place, name in enumerate(track(list(STATISTICS), "defects against normals")):
        scores = np.r_[normals[:, place], defects[:, place]]
        low, high = bootstrap_interval(image_auroc, labels, scores, bootstrap, seed)
        auroc = image_auroc(labels, scores)
        found.append(
            Difference(
                name=name,
                normal=float(np.median(normals[:, place])),
                defect=float(np.median(defects[:, place])),
                auroc=auroc,
                auroc_interval=(low, high),
                cliffs_delta=2 * auroc - 1,
                cliffs_delta_interval=(2 * low - 1, 2 * high - 1),
            )
        )
    return found


def best_threshold(
    differences: Sequence[Difference],
    normals: np.ndarray,
    defects: np.ndarray,
    types: Sequence[str],
    bootstrap: int,
    seed: int,
) -> Threshold:
    """The statistic of the largest strength, judged as a detector.

    Args:
        types: Of the defects.
    """
    best = max(differences, key=lambda difference: difference.strength)
    place, above = list(STATISTICS).index(best.name), best.auroc >= 0.5
    sign = 1.0 if above else -1.0
    normal, defect = sign * normals[:, place], sign * defects[:, place]
    labels, scores = _labels(normal, defect), np.r_[normal, defect]
    low, high = best.auroc_interval
    per_type = {}
    for name in sorted(set(types)):
        chosen = defect[np.array(types) == name]
        pair = _labels(normal, chosen), np.r_[normal, chosen]
        interval = bootstrap_interval(image_auroc, *pair, bootstrap, seed)
        per_type[name] = (image_auroc(*pair), interval, len(chosen))
    return Threshold(
        name=best.name,
        side="above" if above else "below",
        strength=best.strength,
        strength_interval=(low, high) if above else (1 - high, 1 - low),
        missed_at_5=fnr_at_fpr(labels, scores),
        missed_at_5_interval=bootstrap_interval(fnr_at_fpr, labels, scores, bootstrap, seed),
        chance=chance_strength(normals, defects, seed),
        per_type=per_type,
    )


def chance_strength(first: np.ndarray, second: np.ndarray, seed: int) -> float:
    """The strength that the best of all statistics reaches in 1 of 20 shuffles of who belongs to which group.

    What lies below is no evidence of a difference, however it was picked (permutation test of the maximum).
    """
    ranks = rankdata(np.concatenate([first, second]), axis=0)
    count, pairs = len(second), len(first) * len(second)
    rng = np.random.default_rng(seed)
    strengths = np.empty(SHUFFLES)
    for shuffle in range(SHUFFLES):
        chosen = rng.permutation(len(ranks))[:count]
        auroc = (ranks[chosen].sum(axis=0) - count * (count + 1) / 2) / pairs
        strengths[shuffle] = np.max(np.maximum(auroc, 1 - auroc))
    return float(np.quantile(strengths, 0.95))


@dataclass(frozen=True)
class Drift:
    """Training normals against test normals: the statistic in which they differ most.

    Attributes:
        auroc: The chance that a test normal has the higher value.
        strength: max(auroc, 1 - auroc).
        chance: See `chance_strength`.
        differs: Strength above chance.
    """

    train: int
    test: int
    name: str
    auroc: float
    strength: float
    chance: float
    differs: bool


def measure_drift(train: np.ndarray, test: np.ndarray, seed: int) -> Drift:
    """Statistics of training normals (N, 8) against test normals (M, 8)."""
    labels = _labels(train, test)
    aurocs = [image_auroc(labels, np.r_[train[:, k], test[:, k]]) for k in range(train.shape[1])]
    strengths = [max(auroc, 1 - auroc) for auroc in aurocs]
    place, chance = int(np.argmax(strengths)), chance_strength(train, test, seed)
    return Drift(
        train=len(train),
        test=len(test),
        name=list(STATISTICS)[place],
        auroc=aurocs[place],
        strength=strengths[place],
        chance=chance,
        differs=strengths[place] > chance,
    )


def _labels(normals: np.ndarray, defects: np.ndarray) -> np.ndarray:
    return np.repeat([0, 1], [len(normals), len(defects)])
