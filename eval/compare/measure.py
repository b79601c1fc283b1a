"""Metrics of each run on the common images, and the paired differences from a reference run."""

from dataclasses import dataclass, field

import numpy as np

from eval.compare.match import Compared
from eval.metrics import Interval, PairedDifference, bootstrap_intervals, paired_bootstrap
from eval.metrics.bootstrap import central
from eval.metrics.pixel_bootstrap import pixel_draws
from eval.metrics.sketch import ImageSketch
from eval.model_metrics import IMAGE_METRICS

SEED = 0
HIGHER_IS_BETTER = {
    "image_auroc": True,
    "image_auprc": True,
    "fnr_at_fpr5": False,
    "pixel_auroc": True,
    "pixel_aupro": True,
    "fnr": False,
    "fpr": False,
}
"""By metric; "fnr" and "fpr" are those of the decisions at the calibrated thresholds."""


@dataclass(frozen=True)
class Figures:
    """Some figures with their 95 % intervals."""

    values: dict[str, float]
    intervals: dict[str, Interval]


@dataclass(frozen=True)
class RunFigures:
    """One run on the common images."""

    models: dict[str, Figures]
    decisions: Figures | None = None
    """Of the routed system at its own thresholds."""


@dataclass(frozen=True)
class Differences:
    """A run minus the reference, for what both have."""

    models: dict[str, dict[str, PairedDifference]]
    decisions: dict[str, PairedDifference] = field(default_factory=dict)


def measure_run(run: Compared, resamples: int) -> RunFigures:
    """All metrics of all models of a run that was cut to the common images."""
    models = {}
    for name, scores in run.images.ranks.items():
        values = {key: metric(run.labels, scores) for key, metric in IMAGE_METRICS.items()}
        intervals = bootstrap_intervals(IMAGE_METRICS, run.labels, scores, resamples, SEED)
        pixels = _pixels(run, name, resamples)
        models[name] = Figures(values | pixels.values, intervals | pixels.intervals)
    if run.images.routed is None:
        return RunFigures(models)
    flags = run.images.routed.passed.astype(np.float64)
    return RunFigures(
        models,
        Figures(
            {key: metric(run.labels, flags) for key, metric in _DECISIONS.items()},
            bootstrap_intervals(_DECISIONS, run.labels, flags, resamples, SEED),
        ),
    )


def differences(run: Compared, reference: Compared, resamples: int) -> Differences:
    """`run` minus `reference`, both cut to the common images in the same order."""
    models, theirs = {}, reference.images.ranks
    for name, scores in run.images.ranks.items():
        if name not in theirs:
            continue
        found = paired_bootstrap(IMAGE_METRICS, run.labels, scores, theirs[name], resamples, SEED)
        models[name] = found | _pixel_differences(run, reference, name, resamples)
    decisions: dict[str, PairedDifference] = {}
    if run.images.routed is not None and reference.images.routed is not None:
        decisions = paired_bootstrap(
            _DECISIONS,
            run.labels,
            run.images.routed.passed.astype(np.float64),
            reference.images.routed.passed.astype(np.float64),
            resamples,
            SEED,
        )
    return Differences(models, decisions)


def verdict(metric: str, difference: PairedDifference) -> str:
    """Say "better", "worse", or "open" where the interval holds 0."""
    if not difference.is_clear:
        return "open"
    return "better" if (difference.difference > 0) == HIGHER_IS_BETTER[metric] else "worse"


def _missed(labels: np.ndarray, passed: np.ndarray) -> float:
    return float(passed[labels == 1].mean())


def _alarmed(labels: np.ndarray, passed: np.ndarray) -> float:
    return float(1.0 - passed[labels == 0].mean())


_DECISIONS = {"fnr": _missed, "fpr": _alarmed}
_PIXEL_METRICS = ("pixel_auroc", "pixel_aupro")


def _pixels(run: Compared, name: str, resamples: int) -> Figures:
    """As reported where the report speaks of the same images, else from the sketches, which are off by some 1e-4."""
    reported = run.run.report["models"].get(name, {}) if run.whole else {}
    values = {key: reported[key] for key in _PIXEL_METRICS if reported.get(key) is not None}
    sketches = list(run.sketches.get(name, {}).values())
    if not any(sketch.regions for sketch in sketches):
        return Figures(values, {})
    draws = pixel_draws(sketches, n=resamples, seed=SEED)
    values = {key: values.get(key, drawn.whole) for key, drawn in draws.items()}
    return Figures(values, {key: drawn.interval_around(values[key]) for key, drawn in draws.items()})


def _pixel_differences(
    run: Compared, reference: Compared, name: str, resamples: int
) -> dict[str, PairedDifference]:
    """Over the images whose pixels both models scored; the route of either may have refused some."""
    ours, theirs = run.sketches.get(name, {}), reference.sketches.get(name, {})
    # A mask that another data set lacks, or draws otherwise, would compare answers to different questions.
    shared = [row for row in sorted(set(ours) & set(theirs)) if _same_mask(ours[row], theirs[row])]
    if not any(ours[row].regions for row in shared):
        return {}
    one, other = (
        pixel_draws([sketches[row] for row in shared], n=resamples, seed=SEED) for sketches in (ours, theirs)
    )
    found = {}
    for key, drawn in one.items():
        draws = drawn.values - other[key].values
        found[key] = PairedDifference(drawn.whole - other[key].whole, *central(draws[np.isfinite(draws)]))
    return found


def _same_mask(one: ImageSketch, other: ImageSketch) -> bool:
    return one.regions == other.regions and bool(
        np.isclose(one.weights[1].sum(), other.weights[1].sum(), rtol=1e-6)
    )
