"""All figures of a study."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from eval.msa.findings import Appraiser, Msa, Pair
from eval.msa.kappa import Agreement, agreement, cohen, fleiss
from eval.msa.rates import Rate, clustered_rate
from eval.msa.study import DEFECT, GOOD, Study

Ratings = Mapping[str, Sequence[str]]


def measure(study: Study, name: str, draws: int = 2000, seed: int = 0) -> Msa:
    """Every appraiser against reference and self, every pair, and all people together."""
    people = [appraiser for appraiser in study.ratings if appraiser not in study.systems]
    return Msa(
        study=name,
        parts_good=sum(truth == GOOD for truth in study.reference.values()),
        parts_defect=sum(truth != GOOD for truth in study.reference.values()),
        categories=study.categories,
        appraisers=[_appraiser(study, appraiser, draws, seed) for appraiser in study.ratings],
        pairs=[_pair(study, a, b, draws, seed) for a, b in combinations(study.ratings, 2)],
        people=_together(study, people, draws, seed) if len(people) > 1 else None,
        people_all_right=_all_right(study, people) if len(people) > 1 else None,
        notes=study.notes,
        draws=draws,
        seed=seed,
    )


def _appraiser(study: Study, appraiser: str, draws: int, seed: int) -> Appraiser:
    ratings = {part: list(trials.values()) for part, trials in study.ratings[appraiser].items()}
    truth = {part: _binary(study.reference[part]) for part in ratings}
    right = {part: [_binary(r) == truth[part] for r in trials] for part, trials in ratings.items()}
    repeated = {part: trials for part, trials in ratings.items() if len(trials) > 1}
    typed = study.typed(appraiser)
    return Appraiser(
        name=appraiser,
        system=appraiser in study.systems,
        trials=max(map(len, ratings.values())),
        right=_rate({part: (sum(hits), len(hits)) for part, hits in right.items()}),
        always_right=_rate({part: (all(hits), 1) for part, hits in right.items()}),
        misses=_errors(right, {part for part, kind in truth.items() if kind == DEFECT}),
        false_alarms=_errors(right, {part for part, kind in truth.items() if kind == GOOD}),
        kappa=_against(ratings, study, [GOOD, DEFECT], draws, seed),
        type_kappa=_against(ratings, study, study.categories, draws, seed) if typed else None,
        repeats=_rate({part: (len(set(trials)) == 1, 1) for part, trials in repeated.items()})
        if repeated
        else None,
        repeat_kappa=_fleiss(study, list(repeated.items()), draws, seed) if repeated else None,
    )


def _errors(right: Mapping[str, list[bool]], parts: set[str]) -> Rate:
    return _rate({part: (len(hits) - sum(hits), len(hits)) for part, hits in right.items() if part in parts})


def _against(ratings: Ratings, study: Study, categories: list[str], draws: int, seed: int) -> Agreement:
    pairs = {part: [(study.reference[part], rating) for rating in trials] for part, trials in ratings.items()}
    return _cohen(study, pairs, categories, draws, seed)


def _pair(study: Study, a: str, b: str, draws: int, seed: int) -> Pair:
    """Trial by trial, as in AIAG's cross-tabulation; a trial that one of them lacks is left out."""
    first, second = study.ratings[a], study.ratings[b]
    trials = {part: sorted(first[part].keys() & second[part].keys()) for part in first if part in second}
    both = {part: [(first[part][n], second[part][n]) for n in own] for part, own in trials.items() if own}
    found = _cohen(study, both, [GOOD, DEFECT], draws, seed) if both else None
    typed = study.typed(a) and study.typed(b) and both
    return Pair(a, b, found, _cohen(study, both, study.categories, draws, seed) if typed else None)


def _together(study: Study, people: list[str], draws: int, seed: int) -> Agreement | None:
    pooled = [
        (part, [r for p in people for r in study.ratings[p].get(part, {}).values()])
        for part in study.reference
    ]
    several = [(part, given) for part, given in pooled if len(given) > 1]
    return _fleiss(study, several, draws, seed) if several else None


def _all_right(study: Study, people: list[str]) -> Rate:
    shared = [part for part in study.reference if all(part in study.ratings[person] for person in people)]
    return _rate(
        {
            part: (
                all(
                    _binary(rating) == _binary(study.reference[part])
                    for person in people
                    for rating in study.ratings[person][part].values()
                ),
                1,
            )
            for part in shared
        }
    )


def _cohen(
    study: Study, pairs: Mapping[str, list[tuple[str, str]]], categories: list[str], draws: int, seed: int
) -> Agreement:
    binary = categories == [GOOD, DEFECT]
    place = {category: row for row, category in enumerate(categories)}
    tables = np.zeros((len(pairs), len(categories), len(categories)))
    for row, given in enumerate(pairs.values()):
        for first, second in given:
            a, b = (_binary(first), _binary(second)) if binary else (first, second)
            tables[row, place[a], place[b]] += 1
    return agreement(cohen(tables), _strata(study, list(pairs)), draws, seed)


def _fleiss(study: Study, ratings: list[tuple[str, list[str]]], draws: int, seed: int) -> Agreement:
    counts = np.array(
        [[sum(_binary(r) == kind for r in given) for kind in (GOOD, DEFECT)] for _, given in ratings]
    )
    return agreement(fleiss(counts), _strata(study, [part for part, _ in ratings]), draws, seed)


def _strata(study: Study, parts: list[str]) -> np.ndarray:
    return np.array([_binary(study.reference[part]) for part in parts])


def _rate(counts: Mapping[str, tuple[int, int]]) -> Rate:
    table = np.array([list(pair) for pair in counts.values()], dtype=np.int64).reshape(-1, 2)
    return clustered_rate(table[:, 0], table[:, 1])


def _binary(category: str) -> str:
    return GOOD if category == GOOD else DEFECT
