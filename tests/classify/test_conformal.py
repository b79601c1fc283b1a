"""The sets against MAPIE, an independent implementation of conformal prediction."""

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from classify.model import p_value


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose probabilities are the features themselves."""

    def __init__(self, types: int = 4) -> None:
        self.types = types
        self.classes_ = np.arange(types)
        self.n_features_in_ = types

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Given":
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)


@pytest.mark.parametrize("level", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("own", [True, False], ids=["of one type (Mondrian)", "of all types"])
def test_the_same_types_are_in_the_sets(level: float, own: bool) -> None:
    rng = np.random.default_rng(0)
    chance, labels = rng.dirichlet(np.ones(4), 160), np.repeat(np.arange(4), 40)
    new = rng.dirichlet(np.ones(4), 300)
    for type_ in range(4) if own else (None,):
        part = labels == type_ if own else np.ones(160, dtype=bool)
        mapie = SplitConformalClassifier(
            Given(), confidence_level=1 - level, conformity_score="lac", prefit=True
        ).conformalize(chance[part], labels[part])
        theirs = mapie.predict_set(new)[1][:, :, 0]
        calibration = np.sort(1 - chance[part, labels[part]])
        ours = np.array([[p_value(calibration, 1 - p) > level for p in row] for row in new])
        columns = [type_] if own else slice(None)
        assert np.array_equal(ours[:, columns], theirs[:, columns])


def test_p_values_of_exchangeable_scores_are_never_too_small() -> None:
    rng = np.random.default_rng(1)
    p = np.array([p_value(np.sort(rng.normal(size=39)), rng.normal()) for _ in range(20000)])
    for level in (0.025, 0.05, 0.1, 0.5):
        assert np.mean(p <= level) <= level + 4 * np.sqrt(level * (1 - level) / len(p))


def test_without_examples_nothing_is_excluded() -> None:
    assert p_value(np.empty(0), 1.0) == 1.0
