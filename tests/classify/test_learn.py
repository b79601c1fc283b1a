"""Learning types: accuracy, calibration, coverage, the unknown, and a new type from few examples."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from classify.learn import add_type, learn_types
from classify.model import TypeClassifier
from wafer_data.errors import DataError

FORTY = dict.fromkeys("abcd", 40)
MANY = dict.fromkeys("abcd", 300)
Draw = Callable[..., tuple[np.ndarray, list[str]]]


@pytest.fixture(scope="module")
def close(draw: Draw) -> TypeClassifier:
    """Types that overlap."""
    return learn_types(*draw(FORTY, apart=1.2))


@pytest.fixture(scope="module")
def clear(draw: Draw) -> TypeClassifier:
    """Types that do not."""
    return learn_types(*draw(FORTY, apart=8.0))


def test_it_is_as_good_as_an_independent_discriminant_analysis(close: TypeClassifier, draw: Draw) -> None:
    values, labels = draw(MANY, seed=1, apart=1.2)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(*draw(FORTY, apart=1.2))
    names = np.array(close.types)[close.distances(values).argmin(axis=1)]
    ours = float(np.mean(names == np.array(labels)))
    assert ours >= theirs.score(values, labels) - 0.01 and 0.7 < ours < 0.98


def test_the_probability_is_as_often_right_as_it_says(close: TypeClassifier, draw: Draw) -> None:
    values, labels = draw(MANY, seed=2, apart=1.2)
    verdicts = [close.classify(one) for one in values]
    said = np.array([max(verdict.probabilities.values()) for verdict in verdicts])
    right = np.array(
        [next(iter(v.probabilities)) == label for v, label in zip(verdicts, labels, strict=True)]
    )
    for low, high in ((0.4, 0.7), (0.7, 0.9), (0.9, 1.01)):
        inside = (said >= low) & (said < high)
        assert abs(right[inside].mean() - said[inside].mean()) < 0.12


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_the_sets_hold_the_true_type_as_often_as_promised_in_every_type(level: float, draw: Draw) -> None:
    covered = dict.fromkeys("abcd", 0)
    for seed in range(4):
        model = learn_types(*draw(FORTY, seed=seed, apart=1.2), level=level)
        for one, label in zip(*draw(MANY, seed=100 + seed, apart=1.2), strict=True):
            covered[label] += label in model.classify(one).set
    # the coverage given 40 calibration examples spreads by sqrt(level (1 - level) / 42); four draws, 4 sigma
    slack = 4 * np.sqrt(level * (1 - level) / 42) / 2
    assert all(count / 1200 >= 1 - level - slack for count in covered.values())


def test_sets_are_smaller_where_types_are_clear(
    close: TypeClassifier, clear: TypeClassifier, draw: Draw
) -> None:
    def size(model: TypeClassifier, apart: float) -> float:
        return float(np.mean([len(model.classify(v).set) for v in draw(MANY, seed=3, apart=apart)[0]]))

    assert size(clear, 8.0) < 1.15 < size(close, 1.2)


def test_a_type_that_was_never_learned_is_unknown(clear: TypeClassifier, draw: Draw) -> None:
    novel = [clear.classify(one) for one in draw({"h": 200}, seed=4, apart=12.0)[0]]
    known = [clear.classify(one) for one in draw(MANY, seed=5, apart=8.0)[0]]
    assert np.mean([v.type == "unknown" and "unknown" in v.set for v in novel]) > 0.9
    assert np.mean([v.type == "unknown" for v in known]) < 0.03
    assert all(v.probability is None for v in novel if v.type == "unknown")


@pytest.mark.parametrize("count", [5, 20])
def test_a_new_type_is_learned_from_few_examples_and_the_old_ones_stay(
    count: int, clear: TypeClassifier, draw: Draw
) -> None:
    model = add_type(clear, "h", draw({"h": count}, seed=6, apart=12.0)[0])
    new = [model.classify(one) for one in draw({"h": 200}, seed=7, apart=12.0)[0]]
    old_values, old_labels = draw(MANY, seed=8, apart=8.0)
    assert np.mean([next(iter(v.probabilities)) == "h" for v in new]) > 0.95
    assert np.mean([v.type == "h" for v in new]) > 0.9
    right = [model.classify(v).type == label for v, label in zip(old_values, old_labels, strict=True)]
    assert np.mean(right) > 0.95
    # five examples cannot exclude the type at 5 %: a set without it would be a promise that nothing carries
    assert all("h" in v.set for v in new) if count == 5 else np.mean(["h" in v.set for v in new]) > 0.85


def test_features_that_are_constant_do_no_harm(draw: Draw) -> None:
    values, labels = draw(FORTY)
    padded = np.hstack([values, np.full((len(values), 2), 7.0)])
    model = learn_types(padded, labels)
    assert np.isfinite(model.whiten).all() and model.classify(padded[0]).type == "a"


@pytest.mark.parametrize(
    ("counts", "words"),
    [({"a": 40}, "two types"), ({"a": 40, "b": 4}, r"b \(4\)")],
    ids=["one type", "four examples"],
)
def test_too_little_to_learn_from_is_refused(counts: dict[str, int], words: str, draw: Draw) -> None:
    with pytest.raises(DataError, match=words):
        learn_types(*draw(counts))


def test_bad_new_types_are_refused(clear: TypeClassifier, draw: Draw) -> None:
    few = draw({"h": 4})[0]
    for name, values, words in (
        ("h", few, "at least 5"),
        ("a", draw({"h": 9})[0], "already"),
        ("unknown", draw({"h": 9})[0], "no name"),
        ("h", draw({"h": 9})[0][:, :-1], "30 features"),
        ("h", np.full((9, 30), np.nan), "not finite"),
    ):
        with pytest.raises(DataError, match=words):
            add_type(clear, name, values)


def test_pictures_of_one_part_are_never_on_both_sides_of_a_fold() -> None:
    """Six pictures of a part are nearly one. What a part looks like says nothing of the type: sets must stay large."""
    rng = np.random.default_rng(9)
    parts = np.repeat(np.arange(40), 6)
    labels = [("a", "b")[part % 2] for part in parts.tolist()]
    values = rng.normal(size=(40, 30))[parts] + 0.01 * rng.normal(size=(240, 30))
    new = rng.normal(size=(200, 30))

    def size(model: TypeClassifier) -> float:
        return float(np.mean([len({"a", "b"} & set(model.classify(one).set)) for one in new]))

    honest, fooled = learn_types(values, labels, parts=parts.tolist()), learn_types(values, labels)
    assert size(honest) > 1.7 > size(fooled)


def test_a_type_of_one_part_is_refused(draw: Draw) -> None:
    values, labels = draw({"a": 10, "b": 10})
    with pytest.raises(DataError, match="b: all examples show one part"):
        learn_types(values, labels, parts=[*range(10), *[10] * 10])


def test_a_type_with_few_examples_takes_the_scores_of_all_types(draw: Draw) -> None:
    """With twelve examples no set could exclude the type at 5 %; overall the sets hold as often as promised."""
    model = learn_types(*draw({"a": 40, "b": 40, "c": 12}, apart=3.0))
    values, labels = draw({"a": 300, "b": 300, "c": 300}, seed=1, apart=3.0)
    sets = [model.classify(one).set for one in values]
    assert np.mean(["c" in found for found in sets[:600]]) < 0.5
    assert np.mean([label in found for label, found in zip(labels, sets, strict=True)]) > 0.9


def test_copies_teach_but_do_not_calibrate(draw: Draw) -> None:
    values, labels = draw(FORTY)
    mirrored = values.copy()
    mirrored[:, -1] *= -1
    model = learn_types(np.stack([values, mirrored], axis=1), labels)
    assert model.counts == (40,) * 4 and all(len(one) == 40 for one in model.calibration)
    assert [model.classify(one).type for one in mirrored[:5]] == labels[:5]


class TestNothing:
    """Every image offers three places, and the defect is at any of them; the others look like no type at all."""

    @staticmethod
    def images(
        draw: Draw, counts: dict[str, int], seed: int
    ) -> tuple[np.ndarray, list[str], list[np.ndarray], list[np.ndarray]]:
        values, labels = draw(counts, seed=seed, apart=6.0)
        rng = np.random.default_rng(seed)
        beside = rng.normal(size=(len(values), 2, values.shape[1])) + 4 * np.sin(np.arange(values.shape[1]))
        offered = [
            rng.permutation(np.vstack([one[None], two])) for one, two in zip(values, beside, strict=True)
        ]
        return values, labels, offered, [one[:, None] for one in beside]

    def test_the_place_of_the_defect_is_chosen(self, draw: Draw) -> None:
        values, labels, offered, beside = self.images(draw, FORTY, 0)
        model = learn_types(values, labels, offered=offered, nothing=beside)
        values, labels, offered, _ = self.images(draw, MANY, 1)
        chosen = [one[model.most_telling(one)] for one in offered]
        assert np.mean([np.array_equal(*pair) for pair in zip(chosen, values, strict=True)]) > 0.99
        right = [next(iter(model.classify(one).probabilities)) for one in chosen]
        blind = learn_types(*draw(FORTY, apart=6.0))
        first = [next(iter(blind.classify(one[blind.most_telling(one)]).probabilities)) for one in offered]
        assert np.mean(np.array(right) == labels) > 0.95 > 0.7 > np.mean(np.array(first) == labels)

    def test_sets_hold_what_they_promise_although_the_wrong_place_may_be_chosen(self, draw: Draw) -> None:
        """Nothing is known of what lies beside defects: two of three images are looked at in the wrong place."""
        values, labels, offered, _ = self.images(draw, FORTY, 0)
        model = learn_types(values, labels, offered=offered)
        _, labels, offered, _ = self.images(draw, MANY, 1)
        sets = [model.classify(one[model.most_telling(one)]).set for one in offered]
        assert np.mean([label in found for label, found in zip(labels, sets, strict=True)]) > 0.93

    def test_it_is_no_type_and_comes_back_from_json(self, draw: Draw) -> None:
        values, labels, offered, beside = self.images(draw, FORTY, 0)
        model = learn_types(values, labels, offered=offered, nothing=beside)
        again = TypeClassifier.from_dict(json.loads(json.dumps(model.to_dict())))
        assert again.types == ("a", "b", "c", "d") and again.nothing is not None
        assert [again.most_telling(one) for one in offered] == [model.most_telling(one) for one in offered]
        with pytest.raises(DataError, match="malformed"):
            TypeClassifier.from_dict(model.to_dict() | {"nothing": [1.0]})

    def test_a_place_that_is_no_number_is_not_chosen(self, draw: Draw) -> None:
        values, labels, offered, beside = self.images(draw, FORTY, 0)
        model = learn_types(values, labels, offered=offered, nothing=beside)
        broken = np.vstack([np.full_like(values[:1], np.nan), values[:1]])
        assert model.most_telling(broken) == 1
