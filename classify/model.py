"""The classifier of defect types, as it runs: one Gaussian a type with a common covariance, and conformal sets.

numpy only: this runs on the inspection tool.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from classify.features import BY_CELLS, BY_CROPS
from wafer_data.defect import UNKNOWN
from wafer_data.errors import DataError

FILE = "classes.json"
"""Its name in a bundle."""
SCHEMA = 2
_LONGEST = 64
_NOTHING = "nothing"
_ARRAYS = ("center", "scale", "whiten", "means")
_FIELDS = (
    "types", "counts", *_ARRAYS, "temperature", "calibration", "typical", "level", "unknown_level", "history"
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What type a defect is.

    Attributes:
        type: The most probable one, or "unknown".
        probability: Of that type, calibrated; of "unknown" None: nothing says how many unknown defects there are.
        probabilities: Of each known type, given that it is one of them.
        set: The types that cannot be excluded at the classifier's level, the most probable first, "unknown" last.
        typicality: p-value in (0, 1] of the defect being of a known type; small where it resembles none.
    """

    type: str
    probability: float | None
    probabilities: Mapping[str, float]
    set: tuple[str, ...]
    typicality: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "type": self.type,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "set": list(self.set),
            "typicality": self.typicality,
        }


@dataclass(frozen=True)
class TypeClassifier:
    """Linear discriminant analysis with a distance for what is unknown.

    In whitened features a type is its mean, and the probability of a type is the softmax of -d^2 / (2 temperature),
    d the distance from its mean. A type is in the set unless fewer than `level` of its own examples, predicted by a
    classifier that had not seen them, were as improbable (class-conditional, or Mondrian, conformal prediction: Vovk,
    Gammerman and Shafer 2005, section 4.5; out of folds: Vovk 2015, "Cross-conformal predictors").

    Attributes:
        types: Names, (c,). counts: how many examples each was learned from.
        center, scale: Of the features, (f,). whiten: (f, r). means: (c, r) in whitened features.
        temperature: > 0.
        calibration: For each type 1 - probability of its own type of its out-of-fold examples, ascending; of a type
            that has too few of its own, those of all types (`classify.learn`).
        typical: For each type the `strangeness` of its out-of-fold examples, ascending.
        level: The share of a type's defects that its sets may miss. unknown_level: below this typicality the type is
            "unknown".
        history: How it was made, in words.
        measured: How its features are measured, `BY_CELLS` or `BY_CROPS`.
        nothing: Mean of what is no defect in whitened features, (r,); None where it learned nothing of that.
    """

    types: tuple[str, ...]
    counts: tuple[int, ...]
    center: np.ndarray
    scale: np.ndarray
    whiten: np.ndarray
    means: np.ndarray
    temperature: float
    calibration: tuple[np.ndarray, ...]
    typical: tuple[np.ndarray, ...]
    level: float = 0.05
    unknown_level: float = 0.01
    history: tuple[str, ...] = ()
    measured: int = BY_CELLS
    nothing: np.ndarray | None = None

    def whitened(self, features: np.ndarray) -> np.ndarray:
        """Features (..., f) in the coordinates in which every type is a sphere, (..., r)."""
        found: np.ndarray = features @ self._folded[0] - self._folded[1]
        return found

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distances (..., c) of features (..., f) from each type's mean."""
        return self._squares(features)[..., : len(self.types)]

    def _squares(self, features: np.ndarray) -> np.ndarray:
        """The same and, last, from what is no defect where that is known: (..., c or c + 1)."""
        found: np.ndarray = np.square(self.whitened(features)[..., None, :] - self._every).sum(axis=-1)
        return found

    def strangeness(self, features: np.ndarray) -> np.ndarray:
        """How little features (..., f) resemble any type, from 0 to 1 + 1 / c: (...).

        The squared distance from the nearest type's mean as a share of the mean of those from all types, and from what
        is no defect. A defect of a known type is far nearer to its own than to the others; how far it is from all of
        them says less, since that depends on how strong and how clean it is. Ren et al. 2021 ("A simple fix to
        Mahalanobis distance for improving near-OOD detection") take the difference from a background's distance for
        the same reason; the quotient tells more here (docs/LOG.md).
        """
        return self._share(self._squares(features))

    def _share(self, distance: np.ndarray) -> np.ndarray:
        """`strangeness` from `_squares`."""
        nearest = distance[..., : len(self.types)].min(axis=-1)
        share: np.ndarray = nearest / np.maximum(distance.mean(axis=-1), np.finfo(float).tiny)
        return share

    def most_telling(self, offered: np.ndarray) -> int:
        """Which of some places (k, f) of an image looks least like no defect at all; the first where that is unknown.

        The odds of "nothing" against all types together; every one counts the same, as the covariance has it.
        """
        if self.nothing is None or len(offered) < 2:
            return 0
        every = self._squares(offered)
        nearest, beside = every[:, :-1], every[:, -1]
        least = nearest.min(axis=1, keepdims=True)
        soft = least[:, 0] - 2 * np.log(np.exp((least - nearest) / 2).sum(axis=1))
        odds = np.nan_to_num(beside - soft, nan=-np.inf)
        return int(np.argmax(odds))

    def classify(self, features: np.ndarray) -> Verdict:
        """The type of a defect from its features (f,); of values that are not finite nothing is known."""
        every = self._squares(features)
        if not np.isfinite(every).all():
            return Verdict(UNKNOWN, None, {}, (*self.types, UNKNOWN), 1 / (1 + sum(self.counts)))
        chance = softmax(every[: len(self.types)], self.temperature)
        order = np.argsort(-chance, kind="stable").tolist()
        p_values = [p_value(self.calibration[c], 1 - chance[c]) for c in range(len(self.types))]
        # over all types' examples together, so that few examples of one type still give small p-values
        typicality = p_value(self._typical, float(self._share(every)))
        strange = typicality <= self.unknown_level
        kept = [self.types[c] for c in order if p_values[c] > self.level]
        if typicality <= self.level or not kept:
            kept.append(UNKNOWN)
        return Verdict(
            UNKNOWN if strange else self.types[order[0]],
            None if strange else float(chance[order[0]]),
            {self.types[c]: float(chance[c]) for c in order},
            tuple(kept),
            typicality,
        )

    @cached_property
    def _folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Standardisation and whitening as one matrix (f, r) and a shift (r,)."""
        matrix = self.whiten / self.scale[:, None]
        return matrix, self.center @ matrix

    @cached_property
    def _every(self) -> np.ndarray:
        """Means of the types and, last, of what is no defect where that is known: (c or c + 1, r)."""
        return self.means if self.nothing is None else np.vstack([self.means, self.nothing])

    @cached_property
    def _typical(self) -> np.ndarray:
        """All types' out-of-fold strangeness, ascending."""
        return np.sort(np.concatenate(self.typical))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by `from_dict`."""
        lists = {
            name: [values.tolist() for values in getattr(self, name)] for name in ("calibration", "typical")
        }
        arrays = {name: _rounded(getattr(self, name)) for name in _ARRAYS}
        plain = {"types": list(self.types), "counts": list(self.counts), "history": list(self.history)}
        numbers = {name: float(getattr(self, name)) for name in ("temperature", "level", "unknown_level")}
        nothing = {} if self.nothing is None else {_NOTHING: _rounded(self.nothing)}
        return {"schema": SCHEMA, "features": self.measured, **plain, **numbers, **lists, **arrays, **nothing}

    @classmethod
    def from_dict(cls, content: Any) -> TypeClassifier:
        """Read and check what `to_dict` wrote.

        Raises:
            DataError: Another schema, or malformed content.
        """
        if (
            not isinstance(content, Mapping)
            or content.get("schema") != SCHEMA
            or content.get("features") not in (BY_CELLS, BY_CROPS)
        ):
            raise DataError(f"{FILE} is of another version of waferroute: learn the classes again")
        if set(content) - {_NOTHING} != {"schema", "features", *_FIELDS}:
            odd = sorted(set(content) - {_NOTHING} ^ {"schema", "features", *_FIELDS})
            raise DataError(f"{FILE}: missing or unknown: {', '.join(odd)}")
        try:
            types = tuple(check_type(name) for name in content["types"])
            arrays: dict[str, Any] = {name: np.asarray(content[name], dtype=np.float64) for name in _ARRAYS}
            lists: dict[str, Any] = {
                name: tuple(np.asarray(values, dtype=np.float64) for values in content[name])
                for name in ("calibration", "typical")
            }
            made = cls(
                types, tuple(int(n) for n in content["counts"]), **arrays, **lists,
                temperature=float(content["temperature"]), level=float(content["level"]),
                unknown_level=float(content["unknown_level"]), history=tuple(map(str, content["history"])),
                measured=int(content["features"]),
                nothing=None if _NOTHING not in content else np.asarray(content[_NOTHING], dtype=np.float64),
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise DataError(f"{FILE} is malformed ({error})") from error
        made._check()
        return made

    def _check(self) -> None:
        types, features, rank = len(self.types), self.center.size, self.means.shape[-1]
        shapes = {
            "center": (features,),
            "scale": (features,),
            "whiten": (features, rank),
            "means": (types, rank),
        }
        good = types > 0 and len(set(self.types)) == types and len(self.counts) == types
        good &= all(
            getattr(self, n).shape == shapes[n] and np.isfinite(getattr(self, n)).all() for n in _ARRAYS
        )
        if self.nothing is not None:
            good &= self.nothing.shape == (rank,) and bool(np.isfinite(self.nothing).all())
        good &= bool((self.scale > 0).all()) and 0 < self.temperature < math.inf
        good &= 0 < self.level < 1 and 0 < self.unknown_level < 1
        for lists in (self.calibration, self.typical):
            good &= len(lists) == types
            good &= all(v.ndim == 1 and np.isfinite(v).all() and (np.diff(v) >= 0).all() for v in lists)
        if not good:
            raise DataError(f"{FILE} is malformed: its types, shapes and numbers do not belong together")


def softmax(distance: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (..., c) from squared distances (..., c)."""
    least = distance.min(axis=-1, keepdims=True)
    chance: np.ndarray = np.exp((least - distance) / (2 * temperature))
    return chance / chance.sum(axis=-1, keepdims=True)


def p_value(calibration: np.ndarray, score: float) -> float:
    """Conformal p-value: the share of calibration scores, the new one among them, that are at least as large.

    Args:
        calibration: Ascending.
        score: Larger is stranger.
    """
    at_least = calibration.size - int(np.searchsorted(calibration, score, side="left"))
    return (1 + at_least) / (calibration.size + 1)


def _rounded(values: np.ndarray) -> list[Any]:
    """Nested lists of numbers with seven digits, which is what float32 holds."""
    digits = np.array([float(f"{value:.7g}") for value in values.ravel().tolist()])
    found: list[Any] = digits.reshape(values.shape).tolist()
    return found


def check_type(name: Any) -> str:
    """A type's name.

    Raises:
        DataError: Not a name that fits into every file and page it will stand in.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise DataError(
            f"a type's name is 1 to {_LONGEST} printable characters, got {str(name)[:_LONGEST]!r}"
        )
    if name in (UNKNOWN, "good"):
        raise DataError(f"{name!r} is no name for a type of defects: rename the folder")
    return name
