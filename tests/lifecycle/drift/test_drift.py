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
from lifecycle.drift.distribution import correlations
from lifecycle.drift.fab import DAY_S, WINDOWS_DAYS, Budget, alarms, look_at_fab
from lifecycle.drift.wafer_summary import Stream, WaferSummary
from lifecycle.drift.watches import Finding, Said, surest

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


def watch_stream(
    reference: list[WaferSummary], recent: list[WaferSummary], sample: np.ndarray
) -> list[Finding]:
    """A stream that stands alone: its reference of long ago against the wafers of the last two hours."""
    old = [(i * 3600.0, wafer) for i, wafer in enumerate(reference)]
    now = 100 * DAY_S
    new = [(now - 3600 - i, wafer) for i, wafer in enumerate(reversed(recent))][::-1]
    look = look_at_fab({Stream("T", "M", "r"): [*old, *new]}, now, lambda recipe: sample)
    return list(look.findings[Stream("T", "M", "r")])


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


def test_the_distance_and_its_way_are_those_of_scipy():
    rng = np.random.default_rng(2)
    known, fresh, sample = wafers(rng, 60), wafers(rng, 14, shift=0.5), training(rng)
    found = by_watch(watch_stream(known, fresh, sample))[DISTRIBUTION]
    expected = stats.ks_2samp(sample, np.concatenate([w.scores for w in fresh])).statistic
    assert found.effect == pytest.approx(expected, abs=0.01)  # scores are counted a tenth apart
    assert found.what == "scores higher"


def test_alike_images_count_as_few():
    rng = np.random.default_rng(3)
    alike = [rng.normal(rng.normal(0, 10), 1, 50) for _ in range(40)]
    independent = [rng.normal(0, 1, 50) for _ in range(40)]
    both = [*alike, *independent, alike[0]]
    sums = np.array([(len(u), u.sum(), np.square(u).sum()) for u in both])
    owner = np.repeat([0, 1, 2], [40, 40, 1])
    units, images, rho, size = correlations(owner, sums, 4)
    assert units.tolist() == [40, 40, 1, 0]
    assert images.tolist() == [2000, 2000, 50, 0]
    assert rho[0] > 0.97
    assert rho[1] < 0.02
    assert rho[2] == 1.0  # one unit says nothing
    assert size[:3].tolist() == [50, 50, 50]


def test_of_the_windows_one_that_drifts_speaks_before_one_that_is_certain_of_little():
    certain, drifting, unasked = (Said.nothing(1) for _ in range(3))
    certain.p[0, 0], certain.effect[0, 0] = 1e-12, 0.1
    drifting.p[0, 0], drifting.effect[0, 0] = 1e-9, 1.0
    assert surest([unasked, certain, drifting], 1e-6)[0][0] == 2
    assert surest([unasked, certain], 1e-6)[0][0] == 1
    assert surest([unasked], 1e-6)[0] == [-1] * len(WATCHES)


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
    assert budget.level([60.0] * 200) == pytest.approx(budget.level([60.0] * 100) / 2)


def test_only_looks_that_see_new_wafers_use_the_budget():
    every_hour, now_and_then = Budget(0.5), Budget(0.5, looks_a_month=1000)
    assert every_hour.level([10.0] * 50) == now_and_then.level([10.0] * 50)
    tests = 50 * 10 * len(WINDOWS_DAYS) * len(WATCHES)
    assert every_hour.level([10.0] * 50) == pytest.approx(0.5 / tests)
    assert every_hour.level([1e6]) > 0.5 / (730 * len(WINDOWS_DAYS) * len(WATCHES))  # long windows overlap
