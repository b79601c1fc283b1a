"""The watches of one stream: each compares recent wafers with reference wafers and gives a p-value and an effect.

Asked are the *level* of the scores that PASS, the mean and the variance of the *latent*, the *distribution* of those
scores against the training sample (Kolmogorov-Smirnov), the *appearance* (brightness, contrast, sharpness: a lamp or a
focus drifts there before the scores do), and the shares of *flagged* and of *unjudged* images.

None takes images for independent. All but the distribution compare means of units (lots, or wafers where lots
are few); the Kolmogorov-Smirnov distance is judged at the effective sample size n / (1 + (m - 1) rho), with m images a
unit and rho the correlation inside units (the design effect: Kish, "Survey Sampling", 1965). And a difference that
is certain but small is no drift: each watch has a least effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lifecycle.drift.columns import (
    APPEARANCE,
    BY_MEANS,
    DISTRIBUTION,
    FLAGGED,
    LATENT_MEAN,
    LATENT_VARIANCE,
    LEVEL,
    SMALLEST_SPREAD,
    UNJUDGED,
    Columns,
    columns_of,
    width_of,
)
from lifecycle.drift.moderated import Prior, fit_prior, no_prior
from lifecycle.drift.wafer_summary import Reference, WaferSummary, unit_of
from router.tails import kolmogorov, ks_distance, t_two_sided

LEAST_EFFECT = {
    LEVEL: 0.25, LATENT_MEAN: 1.0, LATENT_VARIANCE: 1.0, DISTRIBUTION: 0.1, APPEARANCE: 1.0, FLAGGED: 1.0,
    UNJUDGED: 1.0,
}  # fmt: skip
"""Smaller effects are no drift, however certain: robust standard deviations of normal scores (level); the
Kolmogorov-Smirnov distance itself (distribution); standard deviations between reference units (the others)."""

LEAST_UNITS = 8
"""Reference units without which nothing is compared, and lots below which wafers are the unit."""

_TRIED = 8  # largest t of a watch whose p-values are taken: degrees of freedom differ little between columns

Priors = Mapping[str, Prior]
"""What streams borrow, by watch (`fit_priors`)."""


class Units(NamedTuple):
    """U lots or wafers of one watch.

    Attributes:
        means: (U, c).
        sizes: (U,) wafers of each.
        within: (c,) variance between wafers of a unit; 0 where each is one wafer.
    """

    means: np.ndarray
    sizes: np.ndarray
    within: np.ndarray


@dataclass(frozen=True)
class Finding:
    """What one watch says.

    Attributes:
        watch: One of `lifecycle.drift.columns.WATCHES`.
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
    priors: Priors | None = None,
) -> list[Finding]:
    """Ask every watch that has what it needs.

    Args:
        reference: Wafers from when all was well under this version.
        recent: Wafers since the last look.
        training: (T,) standardised scores of calibration normals, out of sample, cut where PASS ends as those of
            production are; empty if there are none.
        priors: What the streams of the fab say of spreads; None: this stream stands alone.

    Returns:
        One finding a watch that could be asked.
    """
    reference = reference if isinstance(reference, Reference) else Reference(reference)
    by_lot = by_lots(reference)
    found: list[Finding] = []
    for watch in BY_MEANS:
        width = width_of(watch, reference) or width_of(watch, recent)
        if not width:
            continue
        known, usual = usual_of(watch, reference, width)
        units = units_of(recent, columns_of(watch, recent, width).rows, by_lot)
        if len(usual.means) >= LEAST_UNITS and len(units.means):
            found.append(compare_means(watch, usual, units, known, (priors or {}).get(watch)))
    if len(training) and sum(len(w.scores) for w in recent) >= 2:
        found.append(_compare_distribution(training, reference, recent, by_lot))
    return found


def by_lots(reference: Reference) -> bool:
    """Whether the lot is the unit: spreads come from the reference alone, so it needs enough lots."""
    return reference.remember(("by lots",), lambda: len({w.lot for w in reference if w.lot}) >= LEAST_UNITS)


def usual_of(watch: str, reference: Reference, width: int) -> tuple[Columns, Units]:
    """A reference's columns for a watch, and its units."""

    def make() -> tuple[Columns, Units]:
        known = columns_of(watch, reference, width)
        return known, units_of(reference, known.rows, by_lots(reference))

    return reference.remember((watch, width), make)


def fit_priors(references: Sequence[Reference]) -> dict[str, Prior]:
    """What all streams together say of the spread between their units.

    Args:
        references: Reference wafers of each stream.
    """
    found = {}
    for watch in BY_MEANS:
        width = max((width_of(watch, part) for part in references), default=0)
        variances, freedoms = [], []
        for part in references if width else ():
            means = usual_of(watch, part, width)[1].means
            if len(means) >= LEAST_UNITS:
                variances.append(means.var(0, ddof=1))
                freedoms.append(len(means) - 1.0)
        found[watch] = fit_prior(variances, freedoms)
    return found


def units_of(part: Sequence[WaferSummary], rows: np.ndarray, by_lot: bool) -> Units:
    """Wafers, (N, c) rows, as units; wafers with NaN have nothing to say."""
    ok = np.isfinite(rows).all(1)
    kept, values = [w for w, keep in zip(part, ok, strict=True) if keep], rows[ok]
    names = [unit_of(w, by_lot) for w in kept]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    index = np.array([places[name] for name in names], int)
    sizes = np.bincount(index, minlength=len(places)).astype(float)
    means = np.zeros((len(places), rows.shape[1]))
    np.add.at(means, index, values)
    means /= sizes[:, None]
    freedom = len(kept) - len(places)
    within = np.square(values - means[index]).sum(0) / freedom if freedom > 0 else np.zeros(rows.shape[1])
    return Units(means, sizes, within)


def compare_means(
    watch: str, reference: Units, recent: Units, columns: Columns, prior: Prior | None = None
) -> Finding:
    """Is the mean of the recent units one that the reference units' spread explains? Sidak over the columns.

    The spread is that of the reference (and of the prior): a day has too few units for one of its own. A lot of which
    few wafers have come yet spreads more than a whole one, by what wafers of a lot differ.

    Args:
        watch: Its name.
        reference: At least two units.
        recent: At least one.
        columns: For their names, and the spread that counting alone gives.
        prior: What other streams say of the variance.
    """
    n, m, width = len(reference.means), len(recent.means), reference.means.shape[1]
    prior = prior if prior is not None and len(prior.variance) == width else no_prior(width)
    variance, freedom = prior.moderated(reference.means.var(0, ddof=1), n - 1.0)
    usual = reference.sizes.mean()
    variance = np.maximum(variance, columns.floor**2 / usual)
    moves = variance > SMALLEST_SPREAD**2
    fewer = float(np.maximum(1 / recent.sizes - 1 / usual, 0).mean())
    spread = np.where(moves, np.sqrt(variance), np.inf)
    difference = recent.means.mean(0) - reference.means.mean(0)
    wide = np.where(moves, np.sqrt((variance + fewer * reference.within) / m + variance / n), np.inf)
    t = difference / wide
    largest = np.argsort(-np.abs(t))[:_TRIED]
    p_each = [t_two_sided(float(t[i]), float(freedom[i])) for i in largest]
    most = int(largest[int(np.argmin(p_each))])
    p = -np.expm1(width * np.log1p(-min(min(p_each), 1 - 1e-16)))
    # a score counts in robust standard deviations of normal scores already; other columns have no unit of their own
    effect = abs(difference[most]) if watch == LEVEL else abs(difference[most] / spread[most])
    way = "higher" if difference[most] > 0 else "lower"
    return Finding(watch, float(p), float(effect), f"{columns.names[most]} {way}", (n, m))


def _compare_distribution(
    training: np.ndarray, reference: Reference, recent: Sequence[WaferSummary], by_lot: bool
) -> Finding:
    """The training sample's own units are not known: it is given the correlation of the reference's."""

    def make() -> tuple[int, float]:
        usual = _grouped(reference, by_lot)
        return len(usual), correlation(usual)

    usual, alike = reference.remember(("alike",), make)
    units = _grouped(recent, by_lot)
    rho = max(correlation(units), alike)
    values = np.concatenate(units)
    d, way = ks_distance(training, values)
    n = len(values) / design_effect([len(u) for u in units], rho)
    of_training = len(training) / design_effect([float(np.mean([len(u) for u in units]))] * 2, rho)
    of_training = max(of_training, float(usual))
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
