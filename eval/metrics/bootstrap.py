"""Bootstrap intervals (Efron 1979; percentile method), resampled within each class.

They say how much a figure would move on another test set of the same size from the same source. They say nothing
about another seed of the training, and nothing where the sample holds no event: a model without a miss among 20
defects gets the interval 0 to 0 (`clopper_pearson` bounds such a rate).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from eval.metrics.image import fnr_at_fpr, image_auroc
from eval.metrics.resampled import RESAMPLED
from eval.metrics.resampling import positions_by_class, resample_counts
from wafer_data.errors import InputError

Metric = Callable[[np.ndarray, np.ndarray], float]
Interval = tuple[float, float]


@dataclass(frozen=True)
class PairedDifference:
    """How much larger a metric is for one model than for another on the same images, with its interval."""

    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def bootstrap_draws(
    metrics: Mapping[str, Metric], labels: ArrayLike, scores: ArrayLike, n: int = 1000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Each metric of `n` resamples, (n,) by name; all metrics see the same resamples.

    Normals and defects are drawn with replacement apart from each other, so that every resample has both
    classes in their true numbers. `image_auroc`, `image_auprc` and `fnr_at_fpr` are computed for all resamples
    together; any other function of (labels, scores) is called once for each. Raises what the metrics raise, and
    `InputError` for a class without images or unequal lengths.
    """
    classes, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    normal, defect = positions_by_class(classes)
    for metric in metrics.values():
        metric(classes, values)  # its checks, once
    draws: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for normal_counts, defect_counts in resample_counts(len(normal), len(defect), n, seed):
        for name, metric in metrics.items():
            if metric in RESAMPLED:
                found = RESAMPLED[metric](values[normal], values[defect], normal_counts, defect_counts)
            else:
                picks = [
                    np.concatenate([np.repeat(normal, first), np.repeat(defect, second)])
                    for first, second in zip(normal_counts, defect_counts, strict=True)
                ]
                found = np.array([metric(classes[pick], values[pick]) for pick in picks])
            draws[name].append(found)
    return {name: np.concatenate(parts) for name, parts in draws.items()}


def bootstrap_intervals(
    metrics: Mapping[str, Metric],
    labels: ArrayLike,
    scores: ArrayLike,
    n: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """The central `confidence` interval of each metric over `n` resamples, by name; see `bootstrap_draws`."""
    draws = bootstrap_draws(metrics, labels, scores, n, seed)
    return {name: central(values, confidence) for name, values in draws.items()}


def bootstrap_interval(
    metric: Metric,
    labels: ArrayLike,
    scores: ArrayLike,
    n: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """The central `confidence` interval of `metric(labels, scores)` over `n` resamples; see `bootstrap_draws`.

    The same seed gives the same interval.
    """
    return bootstrap_intervals({"metric": metric}, labels, scores, n, seed, confidence)["metric"]


def paired_bootstrap(
    metrics: Mapping[str, Metric],
    labels: ArrayLike,
    scores: ArrayLike,
    reference: ArrayLike,
    n: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, PairedDifference]:
    """metric(scores) - metric(reference) of two models on the same images, by name, with `confidence` intervals.

    Both models see the same resamples, so what is hard or easy about an image cancels: the interval is narrower
    than that of two separate samples where the models agree. Raises as `bootstrap_draws`.
    """
    classes = np.asarray(labels)
    first, second = (np.asarray(values, dtype=np.float64) for values in (scores, reference))
    if first.shape != second.shape:
        raise InputError(
            f"two models are compared on the same images, not on {first.size} and {second.size} scores"
        )
    ours, theirs = (bootstrap_draws(metrics, classes, values, n, seed) for values in (first, second))
    found = {}
    for name, metric in metrics.items():
        difference = metric(classes, first) - metric(classes, second)
        found[name] = PairedDifference(difference, *central(ours[name] - theirs[name], confidence))
    return found


def per_type_intervals(
    labels: ArrayLike, scores: ArrayLike, types: Sequence[str], n: int = 1000, seed: int = 0
) -> dict[str, dict[str, Interval]]:
    """95 % intervals of `image_auroc` and `fnr_at_fpr5` of each defect type against all normals, by type name."""
    classes, values, names = np.asarray(labels), np.asarray(scores, dtype=np.float64), np.asarray(types)
    found = {}
    for name in np.unique(names[classes == 1]):
        rows = (classes == 0) | (names == name)
        found[str(name)] = bootstrap_intervals(
            {"image_auroc": image_auroc, "fnr_at_fpr5": fnr_at_fpr}, classes[rows], values[rows], n, seed
        )
    return found


def central(draws: np.ndarray, confidence: float = 0.95) -> Interval:
    """The interval that leaves half of 1 - `confidence` of the draws (n,) on either side."""
    if not 0.0 < confidence < 1.0:
        raise InputError(f"the confidence must lie strictly between 0 and 1, not {confidence}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
