"""The watches of one stream: each compares recent wafers with reference wafers and gives a p-value and an effect.

Four are asked: the *level* of the scores that PASS, the mean and the variance of the *latent*, the *distribution* of
those scores against the training sample (Kolmogorov-Smirnov), and the *appearance* (brightness, contrast, sharpness:
a lamp or a focus drifts there before the scores do).

None takes images for independent. Level, latent and appearance compare means of units (lots, or wafers where lots
are few); the Kolmogorov-Smirnov distance is judged at the effective sample size n / (1 + (m - 1) rho), with m images a
unit and rho the correlation inside units (the design effect: Kish, "Survey Sampling", 1965). And a difference that
is certain but small is no drift: each watch has a least effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.drift.wafer_summary import WaferSummary, unit_means, unit_of
from router.tails import kolmogorov, ks_distance, t_two_sided

LEVEL, LATENT_MEAN, LATENT_VARIANCE, DISTRIBUTION, APPEARANCE = (
    "level", "latent mean", "latent variance", "distribution", "appearance",
)  # fmt: skip
WATCHES = (LEVEL, LATENT_MEAN, LATENT_VARIANCE, DISTRIBUTION, APPEARANCE)

LEAST_EFFECT = {LEVEL: 0.25, LATENT_MEAN: 1.0, LATENT_VARIANCE: 1.0, DISTRIBUTION: 0.1, APPEARANCE: 1.0}
"""Smaller effects are no drift, however certain: robust standard deviations of normal scores; standard
deviations between reference units; the Kolmogorov-Smirnov distance itself."""

LEAST_UNITS = 8
"""Reference units without which nothing is compared, and lots below which wafers are the unit."""


@dataclass(frozen=True)
class Finding:
    """What one watch says.

    Attributes:
        watch: One of `WATCHES`.
        p: Two-sided p-value, adjusted for the columns that the watch looks at.
        effect: Size in the watch's own unit, see `LEAST_EFFECT`.
        what: The column that changed most, with its direction, in words.
        units: (reference, recent) units compared.
    """

    watch: str
    p: float
    effect: float
    what: str
    units: tuple[int, int]

    def is_drift(self, level: float) -> bool:
        """Certain at `level`, and large enough to matter."""
        return self.p < level and self.effect >= LEAST_EFFECT[self.watch]


def watch_stream(
    reference: Sequence[WaferSummary],
    recent: Sequence[WaferSummary],
    training: np.ndarray,
    *,
    appearance: Sequence[str] = (),
) -> list[Finding]:
    """Ask every watch that has what it needs.

    Args:
        reference: Wafers from when all was well under this version.
        recent: Wafers since the last look.
        training: (T,) standardised scores of calibration normals, out of sample, cut where PASS ends as those of
            production are; empty if there are none.
        appearance: Names of the quality figures.

    Returns:
        One finding a watch that could be asked.
    """
    # Spreads come from the reference alone, so lots can be the unit as soon as that has enough of them.
    by_lot = len({w.lot for w in reference if w.lot}) >= LEAST_UNITS
    found: list[Finding] = []

    def ask(watch: str, columns: list[np.ndarray], names: Sequence[str]) -> None:
        sides = [
            unit_means([w for w, keep in zip(part, ok, strict=True) if keep], rows[ok], by_lot)
            for part, rows in zip((reference, recent), columns, strict=True)
            for ok in [np.isfinite(rows).all(1)]
            if ok.any()
        ]
        if len(sides) == 2 and len(sides[0]) >= LEAST_UNITS:
            found.append(_compare_means(watch, sides[0], sides[1], names))

    ask(LEVEL, [_columns(part, lambda w: _mean(w.scores)) for part in (reference, recent)], ("score",))
    width = max((w.latent.shape[1] for w in (*reference, *recent)), default=0)
    if width:
        names = [f"z{i}" for i in range(width)]
        ask(
            LATENT_MEAN,
            [_columns(p, lambda w: _latent(w, width).mean(0)) for p in (reference, recent)],
            names,
        )
        ask(
            LATENT_VARIANCE,
            [
                _columns(p, lambda w: np.log(_latent(w, width).var(0).mean(keepdims=True) + 1e-12))
                for p in (reference, recent)
            ],
            ("log variance",),
        )
    if len(training) and sum(len(w.scores) for w in recent) >= 2:
        found.append(_compare_distribution(training, reference, recent, by_lot))
    if appearance:
        ask(APPEARANCE, [_columns(part, lambda w: w.appearance) for part in (reference, recent)], appearance)
    return found


def _columns(part: Sequence[WaferSummary], of: Callable[[WaferSummary], np.ndarray]) -> np.ndarray:
    rows = [of(w) for w in part]
    return np.array(rows, float).reshape(len(rows), -1)


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(keepdims=True) if values.size else np.array([np.nan])


def _latent(summary: WaferSummary, width: int) -> np.ndarray:
    return summary.latent if len(summary.latent) >= 2 else np.full((1, width), np.nan)


def _compare_means(watch: str, reference: np.ndarray, recent: np.ndarray, names: Sequence[str]) -> Finding:
    """Is the mean of the recent units one that the reference units' spread explains? Sidak over the columns.

    The spread is that of the reference alone: a day has too few units for one of its own.
    """
    n, m = len(reference), len(recent)
    spread = reference.std(0, ddof=1)
    spread = np.where(spread > 0, spread, np.inf)
    difference = recent.mean(0) - reference.mean(0)
    t = difference / (spread * np.sqrt(1 / m + 1 / n))
    most = int(np.abs(t).argmax())
    p = -np.expm1(len(t) * np.log1p(-min(t_two_sided(float(t[most]), n - 1), 1 - 1e-16)))
    # a score counts in robust standard deviations of normal scores already; other columns have no unit of their own
    effect = abs(difference[most]) if watch == LEVEL else abs(difference[most] / spread[most])
    way = "higher" if difference[most] > 0 else "lower"
    return Finding(watch, float(p), float(effect), f"{names[most]} {way}", (n, m))


def _compare_distribution(
    training: np.ndarray, reference: Sequence[WaferSummary], recent: Sequence[WaferSummary], by_lot: bool
) -> Finding:
    """The training sample's own units are not known: it is given the correlation of the reference's."""
    usual, units = _grouped(reference, by_lot), _grouped(recent, by_lot)
    rho = max(correlation(units), correlation(usual))
    values = np.concatenate(units)
    d, way = ks_distance(training, values)
    n = len(values) / design_effect([len(u) for u in units], rho)
    of_training = len(training) / design_effect([float(np.mean([len(u) for u in units]))] * 2, rho)
    of_training = max(of_training, float(len(usual)))
    p = kolmogorov(d, n * of_training / (n + of_training))
    return Finding(DISTRIBUTION, p, d, f"scores {way}", (len(training), len(units)))


def _grouped(part: Sequence[WaferSummary], by_lot: bool) -> list[np.ndarray]:
    groups: dict[str, list[np.ndarray]] = {}
    for summary in part:
        if summary.scores.size:
            groups.setdefault(unit_of(summary, by_lot), []).append(summary.scores)
    return [np.concatenate(parts) for parts in groups.values()]


def correlation(units: Sequence[np.ndarray]) -> float:
    """How alike images of one unit are, in [0, 1]: Fisher's intraclass correlation, by analysis of variance.

    Fewer than two units say nothing, which counts as 1.
    """
    if len(units) < 2:
        return 1.0
    sizes = np.array([len(u) for u in units], float)
    total = sizes.sum()
    means = np.array([u.mean() for u in units])
    grand = float((sizes * means).sum() / total)
    between = float((sizes * (means - grand) ** 2).sum() / (len(units) - 1))
    within = float(sum(((u - m) ** 2).sum() for u, m in zip(units, means, strict=True)))
    within /= max(total - len(units), 1)
    typical = (total - (sizes**2).sum() / total) / (len(units) - 1)
    variance = max(0.0, (between - within) / typical) if typical > 0 else 0.0
    return variance / (variance + within) if variance + within > 0 else 1.0


def design_effect(sizes: Sequence[float], rho: float) -> float:
    """1 + (m - 1) rho, at least 1: how many alike images count as one; m is the size-weighted mean size of a unit."""
    of = np.array(sizes, float)
    return max(1.0, 1 + (float((of**2).sum() / of.sum()) - 1) * rho)
