"""Examples of types: Gaussians whose means are known (synthetic)."""

from collections.abc import Callable

import numpy as np
import pytest

Draw = Callable[..., tuple[np.ndarray, list[str]]]


@pytest.fixture(scope="session")
def draw() -> Draw:
    """draw(counts, seed=): features (n, 30) and labels; type "a" lies at apart * e0, "b" at apart * e1, ..."""

    def one(counts: dict[str, int], *, seed: int = 0, apart: float = 6.0) -> tuple[np.ndarray, list[str]]:
        rng = np.random.default_rng(seed)
        values, labels = [], []
        for name, count in counts.items():
            means = np.zeros(30)
            means[ord(name) - ord("a")] = apart
            values.append(rng.normal(means, np.linspace(0.5, 2.0, 30), (count, 30)))
            labels += [name] * count
        return np.concatenate(values), labels

    return one
