"""Attribute agreement: kappa, rates over repeated appraisals, criteria, and what a wrong study is told."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from eval.msa import analyse_measurement_system, read_study
from eval.msa.findings import LIMITS
from eval.msa.kappa import agreement, cohen, fleiss
from eval.msa.rates import clustered_rate, effective_count
from wafer_data.errors import InputError
from waferroute.cli import main

FLEISS_1971_LIKE = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
     [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
)  # fmt: skip
"""The worked example of many textbooks: 10 subjects, 14 raters, kappa 0.210."""


def test_kappa_of_many_raters_is_that_of_the_textbook_example():
    found = agreement(fleiss(FLEISS_1971_LIKE), np.zeros(10))
    assert found.kappa == pytest.approx(0.210, abs=5e-4)
    assert found.observed == pytest.approx(0.378, abs=5e-4)


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[44, 6], [3, 97]], 0.86),  # appraisers A and B
        ([[43, 7], [8, 92]], 0.78),  # A and C
        ([[42, 5], [9, 94]], 0.79),  # B and C
        ([[45, 5], [3, 97]], 0.88),  # A and the reference
        ([[45, 2], [3, 100]], 0.92),  # B
        ([[42, 9], [6, 93]], 0.77),  # C
    ],
)
def test_cross_tabulations_of_the_aiag_manual_have_its_kappa(table, kappa):
    found = agreement(cohen(np.array([table])), np.zeros(1), draws=1)
    assert found.kappa == pytest.approx(kappa, abs=0.005)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=4, max_size=40))
def test_kappa_of_two_raters_agrees_with_scikit_learn(pairs):
    tables = np.zeros((len(pairs), 3, 3))
    for row, (a, b) in enumerate(pairs):
        tables[row, a, b] = 1
    found = agreement(cohen(tables), np.zeros(len(pairs)), draws=20)
    if len(set(pairs)) == 1 and pairs[0][0] == pairs[0][1]:
        assert found.kappa is None and found.observed == 1
    else:
        expected = cohen_kappa_score([a for a, _ in pairs], [b for _, b in pairs])
        assert found.kappa == pytest.approx(expected, abs=1e-12)


def test_the_interval_of_kappa_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1], 40)
    misses, false_alarms = 0.1, 0.2
    true_kappa = agreement(cohen(_expected_table(misses, false_alarms)), np.zeros(2)).kappa
    covered = 0
    for seed in range(200):
        said = np.where(truth == 1, random.random(80) >= misses, random.random(80) < false_alarms).astype(int)
        tables = np.zeros((80, 2, 2))
        tables[np.arange(80), truth, said] = 1
        found = agreement(cohen(tables), truth, draws=400, seed=seed)
        covered += found.low <= true_kappa <= found.high
    assert 0.90 <= covered / 200 <= 0.99


def _expected_table(misses, false_alarms):
    return np.array([[[1 - false_alarms, false_alarms], [0, 0]], [[0, 0], [misses, 1 - misses]]])


def test_full_agreement_of_few_parts_does_not_claim_certainty():
    tables = np.tile(np.eye(2), (1, 1, 1)).repeat(20, 0)
    found = agreement(cohen(tables), np.zeros(20))
    assert found.kappa == 1 and found.high == 1 and found.low < 0.8


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_one_appraisal_a_part_gives_the_exact_binomial_interval(events):
    found = clustered_rate(np.array(events, int), np.ones(len(events), int))
    exact = binomtest(sum(events), len(events)).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_repeating_appraisals_of_parts_that_are_always_missed_adds_no_knowledge():
    events, trials = np.array([3, 3] + [0] * 38), np.full(40, 3)
    assert effective_count(events, trials) == pytest.approx(40, rel=0.06)
    assert clustered_rate(np.zeros(40, int), trials).high == pytest.approx(
        binomtest(0, 40).proportion_ci(method="exact").high
    )


def test_intervals_of_clustered_misses_cover_the_true_rate():
    random, covered = np.random.default_rng(1), 0
    for _ in range(300):
        hard = random.random(60) < 0.1  # one in ten parts is missed by half of the looks
        events = random.binomial(3, np.where(hard, 0.5, 0.01))
        found = clustered_rate(events, np.full(60, 3))
        covered += found.low <= 0.1 * 0.5 + 0.9 * 0.01 <= found.high
    assert covered / 300 >= 0.93


def test_a_criterion_is_shown_only_by_the_whole_interval():
    limit = LIMITS["misses"]
    assert limit.verdict(0.0, 0.0, 0.019) == "shown"
    assert limit.verdict(0.0, 0.0, 0.06) == "open"
    assert limit.verdict(0.03, 0.021, 0.049) == "marginal"
    assert limit.verdict(0.2, 0.06, 0.4) == "failed"
    assert LIMITS["right"].verdict(0.95, 0.91, 0.97) == "shown"
    assert LIMITS["right"].verdict(0.7, 0.6, 0.79) == "failed"
    assert limit.verdict(None, None, None) == "unknown"


def test_a_study_of_two_inspectors_and_a_system(tmp_path, capsys):
    study, results = _write_study(tmp_path), tmp_path / "results.jsonl"
    rows = [{"source": f"/images/p{i}.png", "decision": "REVIEW" if i >= 19 else "PASS"} for i in range(40)]
    results.write_text("\n".join(json.dumps(row) for row in rows))
    status = main(
        ["msa", str(study), "--system", f"router={results}", "--out", str(tmp_path / "out"), "--json"]
    )
    assert status == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["appraisers"]}
    assert found["Ada"]["misses"]["rate"] == 0 and found["Ada"]["kappa"]["kappa"] == 1
    assert found["Ada"]["type_kappa"]["kappa"] == 1
    assert found["Bo"]["misses"]["events"] == 4 and found["Bo"]["misses"]["trials"] == 40
    assert found["Bo"]["repeats"]["events"] == 36 and found["Bo"]["repeat_kappa"]["kappa"] < 1
    assert found["router"]["system"] and found["router"]["false_alarms"]["events"] == 1
    assert found["router"]["misses"]["rate"] == 0 and found["router"]["repeats"] is None
    assert found["router"]["verdicts"]["misses"] == "open", "20 defects cannot show a miss rate of 2 %"
    page = (tmp_path / "out" / "msa.html").read_text()
    assert "Ada" in page and "too few parts to say" in page and "http" not in page.replace("http-equiv", "")


def _write_study(tmp_path):
    lines = ["part;reference;appraiser;trial;rating"]
    for i in range(40):
        truth = "good" if i < 20 else ("Scratch" if i % 2 else "particle")
        for trial in (1, 2):
            lines.append(f"p{i}.png;{truth};Ada;{trial};{truth}")
            missed = trial == 2 and i >= 36
            lines.append(f"p{i}.png;{truth};Bo;{trial};{'ok' if missed else truth}")
    path = tmp_path / "study.csv"
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


def test_two_appraisers_are_compared_within_a_trial(tmp_path, capsys):
    """A changes every rating in the second trial, which is the only one that B took part in; B agrees with it."""
    lines, other = ["part,reference,appraiser,trial,rating"], {"good": "scratch", "scratch": "good"}
    for i in range(20):
        truth = "good" if i % 2 else "scratch"
        lines += [
            f"p{i},{truth},A,2,{truth}",
            f"p{i},{truth},A,1,{other[truth]}",
            f"p{i},{truth},B,2,{truth}",
        ]
    path = tmp_path / "study.csv"
    path.write_text("\n".join(lines))
    assert main(["msa", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "A and B: kappa 1.00" in capsys.readouterr().out


def test_appraisers_without_a_common_trial_are_not_compared(tmp_path):
    path = tmp_path / "study.csv"
    path.write_text("part,reference,appraiser,trial,rating\np,good,A,1,good\np,good,B,2,good\n")
    (pair,) = analyse_measurement_system(path, tmp_path / "out")["pairs"]
    assert pair["kappa"] is None and pair["type_kappa"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("part,appraiser,rating\n", "no column reference"),
        ("part,reference,appraiser,rating\n", "no appraisal"),
        ("part,reference,appraiser,rating,Rating\na,good,Ada,good,scratch\n", "two columns rating: rename"),
        ("part,reference,appraiser,rating\na,good,Ada,\n", "line 2: rating is empty"),
        ("part,reference,appraiser,rating\na,good,Ada,godo\n", "'godo' is no category"),
        (
            "part,reference,appraiser,rating\na,good,Ada,good\na,scratch,Bo,good\n",
            "line 3: part a has the reference",
        ),
        ("part,reference,appraiser,trial,rating\na,good,Ada,1,good\na,good,Ada,1,good\n", "twice in trial 1"),
        ("part,reference,appraiser,trial,rating\na,good,Ada,one,good\n", "trial must be a whole number"),
    ],
)
def test_a_wrong_study_is_named_with_its_line(tmp_path, text, said):
    path = tmp_path / "study.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_study(path)


def test_results_of_other_images_are_refused_and_the_old_analysis_stays(tmp_path):
    study, results = _write_study(tmp_path), tmp_path / "other.csv"
    analyse_measurement_system(study, tmp_path / "out")
    before = (tmp_path / "out" / "msa.json").read_bytes()
    results.write_text("source,decision\nx.png,PASS\n")
    with pytest.raises(InputError, match="none of the study's parts"):
        analyse_measurement_system(study, tmp_path / "out", {"new": results})
    results.write_text("source,decision\na/p1.png,PASS\nb/p1.png,PASS\n")
    with pytest.raises(InputError, match=r"could be a/p1\.png or b/p1\.png"):
        analyse_measurement_system(study, tmp_path / "out", {"new": results})
    results.write_text("source,decision\np1.png,MAYBE\n")
    with pytest.raises(InputError, match="'MAYBE' is none of"):
        analyse_measurement_system(study, tmp_path / "out", {"new": results})
    assert (tmp_path / "out" / "msa.json").read_bytes() == before


def test_one_category_throughout_has_no_kappa(tmp_path):
    path = tmp_path / "study.csv"
    path.write_text("part,reference,appraiser,rating\n" + "\n".join(f"p{i},good,Ada,good" for i in range(5)))
    found = analyse_measurement_system(path, tmp_path / "out")
    ada = found["appraisers"][0]
    assert ada["kappa"]["kappa"] is None and ada["misses"]["rate"] is None
    assert ada["verdicts"]["misses"] == "unknown" and ada["false_alarms"]["rate"] == 0
