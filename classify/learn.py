"""Learn the types of defects from labelled examples: the training side (scikit-learn)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from classify.features import BY_CELLS
from classify.model import TypeClassifier, check_type, softmax
from wafer_data.errors import DataError

FEWEST = 5
"""Examples that a type needs."""
_FOLDS = 10
_KEPT = 64
"""Directions beyond those that separate the types, for what is unknown and for types to come."""
_FAR = 1e9
_TEMPERATURES = np.geomspace(0.25, 64, 65)


def learn_types(
    features: np.ndarray,
    labels: Sequence[str],
    *,
    parts: Sequence[int] | None = None,
    level: float = 0.05,
    unknown_level: float = 0.01,
    measured: int = BY_CELLS,
    offered: Sequence[np.ndarray] | None = None,
    nothing: Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> TypeClassifier:
    """Fit the classifier.

    The covariance common to all types is that within types, every type with the same weight, shrunk towards the
    identity (Ledoit and Wolf 2004). Temperature, conformal scores and strangeness come from examples that the
    classifier which predicted them had not seen (10 stratified folds), nor other pictures of the same part.

    A type with too few examples for a set to exclude it (fewer than 1 / level - 1) takes the conformal scores of all
    types together: what is promised then holds for all types on average, and not for that type alone.

    Args:
        features: (n, f) of `features.measure` or `crops.look_at`, or (n, v, f): of each example and of its
            copies of the same type.
        labels: Type of each.
        parts: Which part each example shows; None: each another one. Pictures of one part are no independent examples:
            sets calibrated on them hold less often than they promise.
        level: Share of a type's defects that its sets may miss.
        unknown_level: Typicality below which a defect is called unknown.
        measured: How the features were measured, `BY_CELLS` or `BY_CROPS`.
        offered: Of each example the places (k, f) among which the tool will choose (`TypeClassifier.most_telling`);
            what is promised rests on the one that a classifier chooses which has not seen the example. None: that of
            the first of its features.
        nothing: Of each example the features (m, w, f) of places beside its defect, m >= 0. None: nobody knows any.
        seed: Of the folds.

    Returns:
        The classifier.

    Raises:
        DataError: Fewer than two types, fewer than `FEWEST` examples of one, one whose examples are all of one part, or
            features that are not finite.
    """
    values, names = _checked(features, labels)
    counts = Counter(names.tolist())
    few = [f"{name} ({count})" for name, count in counts.items() if count < FEWEST]
    if len(counts) < 2 or few:
        raise DataError(
            f"at least two types of {FEWEST} examples each are needed; too few: {', '.join(few) or 'types'}"
        )
    types = tuple(sorted(map(check_type, counts)))
    index = np.searchsorted(types, names)
    beside = _beside(nothing, len(values), values.shape[2])
    shown = [one[:1] for one in values] if offered is None else offered
    distance, strangeness = _out_of_fold(values, index, types, parts, seed, shown, beside)
    temperature = _temperature(distance, index)
    chance = softmax(distance, temperature)
    own = np.arange(len(values)), index
    calibration = _by_type(1 - chance[own], index, len(types))
    together, needed = np.sort(np.concatenate(calibration)), 1 / level - 1
    return replace(
        _fit(values, index, types, beside[0]),
        temperature=temperature,
        calibration=tuple(scores if scores.size >= needed else together for scores in calibration),
        typical=_by_type(strangeness, index, len(types)),
        level=level,
        unknown_level=unknown_level,
        measured=measured,
        history=(f"learned from {len(values)} examples of {len(types)} types",),
    )


def _beside(nothing: Sequence[np.ndarray] | None, count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (m, f) of all places beside defects, and which example each is of."""
    rows = [np.empty((0, width))] * count if nothing is None else [one.reshape(-1, width) for one in nothing]
    return np.concatenate(rows).astype(np.float64), np.repeat(np.arange(count), [len(one) for one in rows])


def _out_of_fold(
    values: np.ndarray,
    index: np.ndarray,
    types: tuple[str, ...],
    parts: Sequence[int] | None,
    seed: int,
    offered: Sequence[np.ndarray],
    beside: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Distances (n, c) and strangeness (n,) of each by a classifier that saw neither it nor its part's pictures."""
    counts = np.bincount(index)
    if parts is None:
        folds = StratifiedKFold(min(_FOLDS, int(counts.min())), shuffle=True, random_state=seed)
        splits = folds.split(values[:, 0], index)
    else:
        shown = np.asarray(parts)
        several = [len(np.unique(shown[index == c])) for c in range(len(types))]
        if min(several) < 2:
            raise DataError(
                f"{types[several.index(1)]}: all examples show one part; at least two parts of each type are needed"
            )
        grouped = StratifiedGroupKFold(min(_FOLDS, min(several)), shuffle=True, random_state=seed)
        splits = grouped.split(values[:, 0], index, shown)
    distance, strangeness = np.full((len(values), len(types)), _FAR), np.zeros(len(values))
    for seen, unseen in splits:
        known = np.unique(index[seen])  # a fold may hold every part of a type
        names = tuple(types[c] for c in known)
        fitted = _fit(
            values[seen], np.searchsorted(known, index[seen]), names, beside[0][np.isin(beside[1], seen)]
        )
        chosen = np.stack([offered[i][fitted.most_telling(offered[i])] for i in unseen])
        distance[np.ix_(unseen, known)] = fitted.distances(chosen)
        strangeness[unseen] = fitted.strangeness(chosen)
    return distance, strangeness


def add_type(model: TypeClassifier, name: str, features: np.ndarray) -> TypeClassifier:
    """The classifier with one type more, from a few examples; everything it knew stays.

    The new type is its mean in the old whitened features: 5 examples give a mean, they give no covariance. Its
    conformal scores come from leaving each example out. With fewer than 1 / level - 1 examples no
    defect's set excludes the type.

    Args:
        features: (n, f) or (n, v, f) as of `learn_types`, n >= `FEWEST`.

    Raises:
        DataError: A name that is taken or no name, too few examples, or features of another length.
    """
    if check_type(name) in model.types:
        raise DataError(f"the classifier knows {name!r} already: it knows {', '.join(model.types)}")
    copies, _ = _checked(features, [name] * len(features))
    if len(copies) < FEWEST:
        raise DataError(f"{name}: a new type needs at least {FEWEST} examples, got {len(copies)}")
    if copies.shape[2] != model.center.size:
        raise DataError(
            f"{name}: the classifier takes {model.center.size} features, got {copies.shape[2]}: the examples were "
            "measured with another bundle"
        )
    white = model.whitened(copies[:, 0])
    mean = model.whitened(copies).mean(axis=(0, 1))
    left_out = (white.sum(axis=0) - white) / (len(white) - 1)
    chance, strangeness = np.empty(len(white)), np.empty(len(white))
    for place, (one, rest) in enumerate(zip(copies[:, 0], left_out, strict=True)):
        without = replace(model, types=(*model.types, name), means=np.vstack([model.means, rest]))
        chance[place] = softmax(without.distances(one), model.temperature)[-1]
        strangeness[place] = without.strangeness(one)
    return replace(
        model,
        types=(*model.types, name),
        counts=(*model.counts, len(white)),
        means=np.vstack([model.means, mean]),
        calibration=(*model.calibration, np.sort(1 - chance)),
        typical=(*model.typical, np.sort(strangeness)),
        history=(*model.history, f"{name} added from {len(white)} examples"),
    )


def _fit(values: np.ndarray, index: np.ndarray, types: tuple[str, ...], beside: np.ndarray) -> TypeClassifier:
    """Means and whitening of examples (n, v, f); what has to come from unseen ones is left empty.

    What lies beside defects, (m, f), is one class more of the discriminant analysis, though no type.

    Of the whitened space are kept the directions in which the types' means differ, all that a linear discriminant
    analysis looks at, and those of the largest spread within types.
    """
    counts = np.bincount(index, minlength=len(types))
    classes = len(types) + (len(beside) > 0)
    flat = np.concatenate([values.reshape(-1, values.shape[2]), beside])
    index = np.concatenate([np.repeat(index, values.shape[1]), np.full(len(beside), len(types))])
    rows = np.bincount(index, minlength=classes)
    center = flat.mean(axis=0)
    means = np.stack([flat[index == c].mean(axis=0) for c in range(classes)])
    scale = (flat - means[index]).std(axis=0)
    scale = np.where(scale > 1e-6 * (1 + np.abs(center)), scale, 1.0)
    standard = (flat - center) / scale
    means = (means - center) / scale
    # each class with the same weight; n - 1 because its mean was taken from the same examples
    lost = np.append(counts / np.maximum(counts - 1, 1), 1.0)[:classes]
    weight = np.sqrt(lost * len(flat) / (classes * rows))[index]
    within = (standard - means[index]) * weight[:, None]
    shrinkage = ledoit_wolf_shrinkage(within, assume_centered=True)
    covariance = within.T @ within / len(within)
    covariance *= 1 - shrinkage
    covariance.flat[:: len(covariance) + 1] += shrinkage * np.square(within).mean()
    size, direction = np.linalg.eigh(covariance)
    whiten = (direction / np.sqrt(np.maximum(size, 1e-9)))[:, ::-1]
    apart = means @ whiten
    differences = (apart - apart.mean(axis=0))[:-1]  # their sum is zero: the last adds nothing
    whiten = whiten @ np.linalg.qr(np.hstack([differences.T, np.eye(len(size))[:, :_KEPT]]))[0]
    empty, means = (np.empty(0),) * len(types), means @ whiten
    return TypeClassifier(
        types, tuple(counts.tolist()), center, scale, whiten, means[: len(types)], 1.0, empty, empty,
        nothing=means[-1] if classes > len(types) else None,
    )  # fmt: skip


def _temperature(distance: np.ndarray, index: np.ndarray) -> float:
    """The temperature of the best likelihood, every type with the same weight (Guo et al. 2017, section 4.2)."""
    weight = 1.0 / np.bincount(index)[index]

    def loss(temperature: float) -> float:
        chance = softmax(distance, temperature)[np.arange(len(index)), index]
        return float(-(weight * np.log(np.maximum(chance, 1e-12))).sum())

    return float(min(_TEMPERATURES, key=loss))


def _by_type(values: np.ndarray, index: np.ndarray, types: int) -> tuple[np.ndarray, ...]:
    return tuple(np.sort(values[index == c]) for c in range(types))


def _checked(features: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features as (n, v, f), and the labels."""
    values = np.asarray(features, dtype=np.float64)
    if values.ndim == 2:
        values = values[:, None]
    if values.ndim != 3 or len(values) != len(labels):
        raise DataError(f"features {values.shape} and {len(labels)} labels do not fit together")
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))[0])
        raise DataError(f"example {bad} has features that are not finite")
    return values, np.asarray(labels)
