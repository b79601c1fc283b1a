"""Drift is found where it is, named, and not found where there is none."""

import numpy as np
import pytest
from scipy import stats

from lifecycle.drift.columns import (
    APPEARANCE,
    DISTRIBUTION,
    FLAGGED,
    LATENT_MEAN,
    LATENT_VARIANCE,
    LEVEL,
    UNJUDGED,
    WATCHES,
)
from lifecycle.drift.fab import WINDOWS_DAYS, Budget, alarms
from lifecycle.drift.wafer_summary import Stream, WaferSummary
from lifecycle.drift.watches import (
    Finding,
    correlation,
    design_effect,
    watch_stream,
)
from router.tails import ks_distance

IMAGES = 60


def figures(logs: np.ndarray) -> dict[str, float]:
    """An image whose brightness, contrast and sharpness have these logarithms."""
    return dict(zip(("mean", "std", "sharpness"), np.exp(logs).tolist(), strict=True))


def wafers(
    rng: np.random.Generator,
    count: int,
    *,
    shift: float = 0.0,
    turn: float = 0.0,
    spread: float = 1.0,
    gain: float = 0.0,
) -> list[WaferSummary]:
    """Wafers with effects of their own: what is alike inside a wafer differs between wafers."""
    return [
        WaferSummary.of(
            f"w{rng.integers(1 << 40)}",
            f"l{i // 3}-{rng.integers(1 << 40) if i % 3 == 0 else 0}",
            rng.normal(shift + rng.normal(0, 0.4), 1, IMAGES),
            rng.normal(0, spread, (IMAGES, 4)) + rng.normal(0, 0.3, 4) + [turn, 0, 0, 0],
            [figures(rng.normal([gain, 0.0, 0.0], 1))],
        )
        for i in range(count)
    ]


def training(rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([rng.normal(rng.normal(0, 0.4), 1, 20) for _ in range(80)])


def by_watch(found: list[Finding]) -> dict[str, Finding]:
    return {finding.watch: finding for finding in found}


def test_quiet_weeks_of_alike_images_are_quiet():
    rng = np.random.default_rng(0)
    said = 0
    for _ in range(60):
        found = watch_stream(wafers(rng, 60), wafers(rng, 14), training(rng))
        assert {f.watch for f in found} == set(WATCHES)
        said += sum(f.is_drift(0.01) for f in found)
    assert said <= 60 * 7 * 0.01 + 3 * (60 * 7 * 0.01) ** 0.5


@pytest.mark.parametrize(
    ("planted", "watch", "what"),
    [
        ({"shift": 1.5}, LEVEL, "score higher"),
        ({"shift": 2.0}, DISTRIBUTION, "scores higher"),
        ({"turn": -2.0}, LATENT_MEAN, "z0 lower"),
        ({"spread": 2.0}, LATENT_VARIANCE, "log variance higher"),
        ({"gain": 5.0}, APPEARANCE, "brightness higher"),
    ],
)
def test_what_was_planted_is_found_and_named(planted: dict[str, float], watch: str, what: str):
    rng = np.random.default_rng(1)
    found = by_watch(watch_stream(wafers(rng, 60), wafers(rng, 14, **planted), training(rng)))
    assert found[watch].is_drift(0.001)
    assert found[watch].what == what


def test_a_certain_but_small_difference_is_no_drift():
    assert not Finding(DISTRIBUTION, 1e-9, 0.02, "scores higher", (2000, 2000)).is_drift(0.01)


def test_the_distance_is_that_of_scipy():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=300), rng.normal(0.3, 1.2, size=211)
    assert ks_distance(first, second)[0] == pytest.approx(stats.ks_2samp(first, second).statistic)


def test_alike_images_count_as_few():
    rng = np.random.default_rng(3)
    alike = [rng.normal(rng.normal(0, 10), 1, 50) for _ in range(40)]
    independent = [rng.normal(0, 1, 50) for _ in range(40)]
    assert correlation(alike) > 0.97
    assert correlation(independent) < 0.02
    assert design_effect([50.0] * 40, 1.0) == 50.0
    assert design_effect([50.0] * 40, 0.0) == 1.0


def test_images_without_latents_or_figures_are_watched_by_their_scores_alone():
    rng = np.random.default_rng(4)
    bare = [WaferSummary.of(w.wafer, w.lot, w.scores, np.empty((0, 0))) for w in wafers(rng, 30)]
    assert {f.watch for f in watch_stream(bare[:20], bare[20:], training(rng))} == {
        LEVEL,
        DISTRIBUTION,
        FLAGGED,
        UNJUDGED,
    }


STREAMS = [
    Stream(tool, layer, recipe)
    for tool in ("T1", "T2", "T3")
    for layer in ("M1", "M2")
    for recipe in ("a", "b")
]
QUIET = [Finding(LEVEL, 0.5, 0.0, "score higher", (20, 14))]


def drifted(*streams: Stream, watch: str = LEVEL) -> dict[Stream, list[Finding]]:
    return {s: [Finding(watch, 1e-9, 3.0, "higher", (20, 14))] if s in streams else QUIET for s in STREAMS}


class TestCause:
    def test_one_tool(self):
        (alarm,) = alarms(drifted(*(s for s in STREAMS if s.tool == "T2")), 1e-4)
        assert (alarm.cause, alarm.where) == ("tool", "T2")

    def test_the_lamp_of_a_tool(self):
        findings = drifted(*(s for s in STREAMS if s.tool == "T2"), watch=APPEARANCE)
        (alarm,) = alarms(findings, 1e-4)
        assert (alarm.cause, alarm.where) == ("lamp or focus of one tool", "T2")

    def test_one_recipe(self):
        (alarm,) = alarms(drifted(*(s for s in STREAMS if s.recipe == "b")), 1e-4)
        assert (alarm.cause, alarm.where) == ("recipe", "b")

    def test_everywhere(self):
        (alarm,) = alarms(drifted(*STREAMS), 1e-4)
        assert alarm.cause == "everywhere"

    def test_two_causes_are_two_alarms(self):
        hit = [s for s in STREAMS if s.tool == "T1"] + [Stream("T3", "M2", "a")]
        assert [a.cause for a in alarms(drifted(*hit), 1e-4)] == ["tool", "stream"]

    def test_quiet(self):
        assert alarms(drifted(), 1e-4) == []


def test_the_more_streams_the_surer_each_must_be():
    budget = Budget(0.5)
    assert budget.level(200) == pytest.approx(budget.level(100) / 2)
    tests = 200 * len(WATCHES) * len(WINDOWS_DAYS) * budget.looks_a_month
    assert budget.level(200) * tests == pytest.approx(0.5)
