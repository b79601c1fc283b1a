"""A learned classifier of signatures, as it runs: standardised features, a linear score for each kind, softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wafer_data.errors import DataError
from wafer_data.files import read_json, write_json
from wafer_map.signature_features import features

SCHEMA = 1


@dataclass(frozen=True)
class SignatureModel:
    """Multinomial logistic regression over `signature_features.features`.

    Attributes:
        kinds: names, (k,). center, scale: of the features, (f,). weights: (k, f). bias: (k,).
        learned_from: how many maps of each kind it was learned from.
    """

    kinds: tuple[str, ...]
    center: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    learned_from: Mapping[str, int]

    def probabilities(self, grid: np.ndarray) -> dict[str, float]:
        """Probability of each kind for a map, the most probable first.

        Args:
            grid: int (h, w) of `WaferMap.grid`.

        Returns:
            By name; they sum to 1.
        """
        return self.of_features(features(grid))

    def of_features(self, values: np.ndarray) -> dict[str, float]:
        """As `probabilities`, from the features."""
        score = self.weights @ ((values - self.center) / self.scale) + self.bias
        chance = np.exp(score - score.max())
        chance /= chance.sum()
        order = np.argsort(-chance, kind="stable")
        return {self.kinds[i]: float(chance[i]) for i in order}

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        write_json(path, {
            "schema": SCHEMA, "kinds": list(self.kinds), "center": self.center, "scale": self.scale,
            "weights": self.weights, "bias": self.bias, "learned_from": dict(self.learned_from),
        })  # fmt: skip

    @classmethod
    def load(cls, path: str | Path) -> SignatureModel:
        """Read what `save` wrote.

        Raises:
            DataError: Where it is malformed.
        """
        content: Any = read_json(path)
        try:
            if content["schema"] != SCHEMA:
                raise DataError(
                    f"{path}: schema {content['schema']!r}, this version reads {SCHEMA}: learn it again"
                )
            kinds = tuple(str(kind) for kind in content["kinds"])
            arrays = {n: np.asarray(content[n], dtype=float) for n in ("center", "scale", "weights", "bias")}
            count = len(features(np.zeros((8, 8), dtype=int)))
            shapes = {
                "center": (count,),
                "scale": (count,),
                "weights": (len(kinds), count),
                "bias": (len(kinds),),
            }
            if any(arrays[n].shape != shapes[n] or not np.isfinite(arrays[n]).all() for n in shapes):
                raise DataError(
                    f"{path}: its arrays do not fit this version's {count} features: learn it again"
                )
            return cls(kinds, **arrays, learned_from=dict(content["learned_from"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is no signature model ({error})") from error
