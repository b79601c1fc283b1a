"""Agreement beyond chance, of two raters (Cohen) and of many (Fleiss), with intervals over parts.

Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 1960, eq. 1; Fleiss,
"Measuring nominal scale agreement among many raters", Psychological Bulletin 1971, eqs. 3 to 7. Written for many
resamples at once: each is a weighted sum over parts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eval.metrics.binomial import clopper_pearson

Shares = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Weights of the parts, (draws, parts), to the shares of agreeing pairs, observed and by chance, (draws,)."""


@dataclass(frozen=True)
class Agreement:
    """A kappa with its interval.

    Attributes:
        kappa: 1 is full agreement, 0 what chance would give; None, as its interval, where everything was
            given one category.
        low, high: 95 % interval.
        observed: Share of compared pairs of ratings that agree, in [0, 1].
        parts: How many were compared.
    """

    kappa: float | None
    low: float | None
    high: float | None
    observed: float
    parts: int


def cohen(tables: np.ndarray) -> Shares:
    """Shares of agreement of two raters.

    Args:
        tables: (parts, c, c), how often each pair of categories was given to a part.
    """
    flat, side = tables.reshape(len(tables), -1).astype(np.float64), tables.shape[1]

    def shares(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table = (weights @ flat).reshape(-1, side, side)
        table /= table.sum((1, 2), keepdims=True)
        return np.trace(table, axis1=1, axis2=2), (table.sum(1) * table.sum(2)).sum(1)

    return shares


def fleiss(counts: np.ndarray) -> Shares:
    """Shares of agreement of any number of ratings of a part, at least 2.

    Each part counts alike. With equal numbers of ratings this gives Fleiss' kappa, otherwise its generalisation by
    Gwet, "Handbook of Inter-Rater Reliability", 4th edition 2014, section 2.5.

    Args:
        counts: (parts, c), how often each category was given to a part.
    """
    n = counts.sum(1, keepdims=True).astype(np.float64)
    if (n < 2).any():
        raise ValueError("a part needs two ratings to agree")
    given = counts / n
    agree = (counts * (counts - 1.0)).sum(1) / (n * (n - 1))[:, 0]

    def shares(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total = weights.sum(1)
        return weights @ agree / total, np.square(weights @ given / total[:, None]).sum(1)

    return shares


def agreement(shares: Shares, strata: np.ndarray, draws: int = 2000, seed: int = 0) -> Agreement:
    """Kappa and its central 95 % interval over resampled parts.

    Parts are drawn with replacement within each stratum (Efron 1979, percentile method), since a study fixes how many
    good and defective parts it holds. Where no two ratings disagree, those of a resample cannot either; the lower end
    is then what the exact binomial bound of the observed agreement leaves above chance.

    Args:
        shares: `cohen(...)` or `fleiss(...)`.
        strata: (parts,), the class each part is drawn within.
    """
    count = len(strata)
    observed, chance = (float(share[0]) for share in shares(np.ones((1, count))))
    if chance >= 1:
        return Agreement(None, None, None, observed, count)
    if observed >= 1:
        lowest = clopper_pearson(count, count)[0]
        return Agreement(1.0, (lowest - chance) / (1 - chance), 1.0, observed, count)
    random = np.random.default_rng(seed)
    weights = np.zeros((draws, count))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), draws)
    resampled, by_chance = shares(weights)
    defined = by_chance < 1
    kappas = (resampled[defined] - by_chance[defined]) / (1 - by_chance[defined])
    low, high = np.percentile(kappas, (2.5, 97.5))
    return Agreement((observed - chance) / (1 - chance), float(low), float(high), observed, count)
