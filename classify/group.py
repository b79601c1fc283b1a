"""Group defects of no known type, for a person to name each group once: the training side (scikit-learn)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.decomposition import PCA

from wafer_data.errors import DataError

FEWEST = 5
_DIRECTIONS = 10


@dataclass(frozen=True)
class Grouping:
    """Groups of like defects.

    Attributes:
        groups: int (n,): number of its group from 0, the largest first; -1 for one that resembles too few others.
        order: Places (n,), the most typical of each group first: what to show to the person who names it.
    """

    groups: np.ndarray
    order: np.ndarray

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.groups.max(initial=-1)) + 1


def group_unknown(whitened: np.ndarray, *, fewest: int = FEWEST) -> Grouping:
    """Cluster defects by density (HDBSCAN: Campello, Moulavi and Sander 2013) in the features' main directions.

    Args:
        whitened: (n, r) of `TypeClassifier.whitened`: in these coordinates known types are spheres of one size.
        fewest: Defects of the smallest group, >= 2.

    Returns:
        The groups.

    Raises:
        DataError: Fewer than `fewest` defects, or features that are not finite.
    """
    values = np.asarray(whitened, dtype=np.float64)
    if values.ndim != 2 or len(values) < fewest or fewest < 2:
        raise DataError(f"{len(values)} defects cannot be grouped into groups of at least {fewest}")
    if not np.isfinite(values).all():
        raise DataError("a defect has features that are not finite")
    kept = min(_DIRECTIONS, len(values) - 1, values.shape[1])
    reduced = PCA(kept, svd_solver="full").fit_transform(values)
    found = HDBSCAN(
        min_cluster_size=fewest, min_samples=max(2, fewest // 2), allow_single_cluster=True, copy=True
    )
    labels = found.fit_predict(reduced)
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    rank = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    groups = np.where(labels >= 0, rank[np.maximum(labels, 0)], -1)
    return Grouping(groups, np.lexsort((-found.probabilities_, np.where(groups < 0, len(values), groups))))
