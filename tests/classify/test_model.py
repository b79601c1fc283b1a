"""The classifier's file: nothing is lost, anything malformed is refused."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from classify.learn import learn_types
from classify.model import TypeClassifier
from wafer_data.errors import DataError


@pytest.fixture(scope="module")
def model(draw: Callable[..., Any]) -> TypeClassifier:
    return learn_types(*draw(dict.fromkeys("abc", 30)))


def test_it_comes_back_from_json_and_says_the_same(model: TypeClassifier, draw: Callable[..., Any]) -> None:
    again = TypeClassifier.from_dict(json.loads(json.dumps(model.to_dict())))
    for one in draw(dict.fromkeys("abc", 20), seed=1)[0]:
        first, second = model.classify(one), again.classify(one)
        assert (first.type, first.set) == (second.type, second.set)
        assert first.probabilities == pytest.approx(second.probabilities, abs=1e-3)


def test_the_verdict_is_consistent(model: TypeClassifier, draw: Callable[..., Any]) -> None:
    for one in draw(dict.fromkeys("abch", 20), seed=2)[0]:
        verdict = model.classify(one)
        assert sum(verdict.probabilities.values()) == pytest.approx(1)
        assert verdict.set and 0 < verdict.typicality <= 1
        assert list(verdict.probabilities.values()) == sorted(verdict.probabilities.values(), reverse=True)
        assert verdict.type == "unknown" or verdict.probability == verdict.probabilities[verdict.type]
        json.dumps(verdict.to_dict(), allow_nan=False)


def test_strangeness_is_the_nearest_types_share_of_all_distances(
    model: TypeClassifier, draw: Callable[..., Any]
) -> None:
    values = draw(dict.fromkeys("abch", 20), seed=4)[0]
    white = (values - model.center) / model.scale @ model.whiten
    beside = white.mean(axis=0)
    for known, means in (
        (model, model.means),
        (replace(model, nothing=beside), np.vstack([model.means, beside])),
    ):
        squares = cdist(white, means, "sqeuclidean")
        expected = squares[:, :3].min(axis=1) / squares.mean(axis=1)
        np.testing.assert_allclose(known.strangeness(values), expected)


def test_a_type_looks_like_itself_and_what_lies_between_all_types_like_none(model: TypeClassifier) -> None:
    back = np.linalg.pinv(model.whiten) * model.scale
    own, between = (mean @ back + model.center for mean in (model.means, model.means.mean(axis=0)))
    np.testing.assert_allclose(model.strangeness(own), 0, atol=1e-6)
    assert model.strangeness(between) > 0.5
    assert [(v.type, v.typicality) for v in map(model.classify, own)] == [("a", 1), ("b", 1), ("c", 1)]
    assert model.classify(between).typicality < 0.1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_unknown_and_exclude_nothing(
    model: TypeClassifier, value: float
) -> None:
    features = np.zeros(30)
    features[3] = value
    verdict = model.classify(features)
    assert verdict.type == "unknown" and set(verdict.set) == {"a", "b", "c", "unknown"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", 1),
        ("schema", 3),
        ("features", 0),
        ("types", ["a", "a", "b"]),
        ("types", ["a", "unknown", "b"]),
        ("types", [1, 2, 3]),
        ("types", []),
        ("temperature", 0),
        ("temperature", float("nan")),
        ("level", 1.0),
        ("scale", [0.0] * 30),
        ("center", [0.0] * 29),
        ("center", "x"),
        ("means", [[0.0] * 30] * 2),
        ("whiten", None),
        ("calibration", [[0.1]] * 2),
        ("calibration", [[0.2, 0.1]] * 3),
        ("typical", [[float("inf")]] * 3),
        ("counts", [1]),
    ],
)
def test_malformed_content_is_refused(model: TypeClassifier, key: str, value: object) -> None:
    content = copy.deepcopy(model.to_dict()) | {key: value}
    with pytest.raises(DataError):
        TypeClassifier.from_dict(content)


def test_missing_and_further_keys_are_refused(model: TypeClassifier) -> None:
    content = model.to_dict()
    for wrong in (content | {"more": 1}, {k: v for k, v in content.items() if k != "means"}, [], None):
        with pytest.raises(DataError):
            TypeClassifier.from_dict(wrong)
