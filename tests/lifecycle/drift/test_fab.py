"""A fab of streams: what one stream cannot say, several say together; what nobody says is not paged."""

from dataclasses import replace

import numpy as np
import pytest

from lifecycle.drift.columns import APPEARANCE, LEVEL, UNJUDGED
from lifecycle.drift.fab import DAY_S, History, look_at_fab
from lifecycle.drift.pooled import groups_of
from lifecycle.drift.wafer_summary import Stream, WaferSummary, unpack

NOW = 60 * DAY_S
STREAMS = [Stream(f"T{i}", f"M{i % 2}", "r") for i in range(16)]


def history(
    rng: np.random.Generator,
    *,
    days: int = 60,
    since: float = NOW,
    shift: float = 0.0,
    gain: float = 1.0,
    unjudged: int = 0,
) -> History:
    """Two wafers a day of one lot; what changes does so at `since`."""
    found = []
    for day in range(days):
        of_lot = rng.normal(0, 0.3)
        for hour in (6, 18):
            at = day * DAY_S + hour * 3600
            late = at > since
            scores = rng.normal(of_lot + rng.normal(0, 0.3) + (shift if late else 0.0), 1, 40)
            mean = 0.4 * float(np.exp(rng.normal(0, 0.01))) * (gain if late else 1.0)
            figures = [{"mean": mean, "std": 0.1, "sharpness": float(np.exp(rng.normal(0, 0.05)))}] * 40
            wafer = WaferSummary.of(
                f"w{at}", f"l{day}-{rng.integers(1 << 30)}", scores, rng.normal(0, 1, (40, 4)), figures,
                images=40, unjudged=unjudged if late else 0,
            )  # fmt: skip
            found.append((at, wafer))
    return found


def look(planted: dict[Stream, dict[str, float]], seed: int = 0):
    rng = np.random.default_rng(seed)
    streams = {s: history(rng, **planted.get(s, {})) for s in STREAMS}
    return look_at_fab(streams, NOW, lambda recipe: np.random.default_rng(9).normal(0, 1.08, 2000))


def test_a_fab_in_which_nothing_happens_is_not_paged():
    assert [look({}, seed).alarms for seed in range(5)] == [()] * 5


def test_a_lamp_that_is_five_percent_brighter_is_found_within_a_day():
    (alarm,) = look({STREAMS[3]: {"gain": 1.05, "since": NOW - DAY_S * 1.5}}).alarms
    assert (alarm.cause, alarm.where) == ("lamp or focus of one tool", "T3")
    assert "brightness higher" in alarm.text


def test_a_small_shift_of_all_tools_is_found_though_none_shows_it_alone():
    planted = {s: {"shift": 0.3, "since": NOW - DAY_S * 2} for s in STREAMS}
    found = look(planted)
    assert not any(f.is_drift(found.level) for fs in found.findings.values() for f in fs)
    assert [(a.cause, a.where) for a in found.alarms] == [("everywhere", "")]


def test_images_that_cannot_be_judged_are_an_alarm_of_their_own():
    found = look({STREAMS[0]: {"unjudged": 30, "since": NOW - DAY_S * 2}})
    assert [a.where for a in found.alarms] == ["T0"]
    assert UNJUDGED in found.alarms[0].text


def test_a_lamp_that_fades_by_a_permille_a_day_is_found():
    rng = np.random.default_rng(7)
    streams = {s: history(rng) for s in STREAMS}
    begin = NOW - 24 * DAY_S
    streams[STREAMS[2]] = [
        (at, replace(w, appearance=w.appearance - np.array([1, 1, 0]) * 1e-3 * max(at - begin, 0) / DAY_S))
        for at, w in streams[STREAMS[2]]
    ]
    (alarm,) = look_at_fab(streams, NOW, lambda recipe: np.empty(0)).alarms
    assert (alarm.cause, alarm.where) == ("lamp or focus of one tool", "T2")


def test_a_slow_drift_is_measured_from_the_beginning():
    rng = np.random.default_rng(3)
    slow = [
        (at, WaferSummary.of(w.wafer, w.lot, w.scores + 2 * at / NOW, np.empty((0, 0)), images=40))
        for at, w in history(rng)
    ]
    streams = {s: history(rng) for s in STREAMS[1:]} | {STREAMS[0]: slow}
    found = look_at_fab(streams, NOW, lambda recipe: np.empty(0))
    assert any(LEVEL in a.text and a.where == "T0" for a in found.alarms)


def test_a_stream_with_too_few_wafers_is_not_looked_at():
    rng = np.random.default_rng(4)
    assert look_at_fab({STREAMS[0]: history(rng, days=3)}, NOW, lambda recipe: np.empty(0)).findings == {}
    assert look_at_fab({}, NOW, lambda recipe: np.empty(0)).alarms == ()


def test_groups_are_named_once_by_their_widest_name():
    groups = groups_of(STREAMS)
    assert set(groups) == {("everywhere", ""), ("layer", "M0"), ("layer", "M1")}


def test_a_kept_wafer_is_the_wafer_that_was_summarised():
    (_, wafer), *_ = history(np.random.default_rng(5))
    back = unpack(wafer.pack(), wafer.wafer, wafer.lot, wafer.images, wafer.flagged, wafer.unjudged)
    np.testing.assert_allclose(back.scores, wafer.scores, rtol=1e-6)
    np.testing.assert_allclose(back.appearance, wafer.appearance, rtol=1e-5)
    assert back.log_variance == pytest.approx(wafer.log_variance, rel=1e-5)
    assert (back.wafer, back.images) == (wafer.wafer, 40)


def test_odd_images_do_not_change_how_a_wafer_looks_and_it_scatters_less_than_a_median():
    rng = np.random.default_rng(6)

    def wafer(means: np.ndarray) -> float:
        figures = [{"mean": float(np.exp(one)), "std": 0.1, "sharpness": 1.0} for one in means]
        return float(WaferSummary.of("w", None, np.empty(0), np.empty((0, 0)), figures).appearance[0])

    plain = rng.normal(0, 0.03, (200, 30))
    odd = np.concatenate([plain, [[9.0] * 2] * 200], axis=1)
    assert max(abs(wafer(a) - wafer(b)) for a, b in zip(plain, odd, strict=True)) < 0.01
    assert np.std([wafer(one) for one in plain]) < 0.95 * np.median(plain, axis=1).std()


def test_an_image_that_could_not_be_read_has_no_appearance():
    wafer = WaferSummary.of(
        "w", None, np.empty(0), np.empty((0, 0)), [None, {"mean": None, "std": 1.0}], images=2
    )
    assert wafer.appearance.size == 0
    assert APPEARANCE not in {f.watch for f in look({}).findings.get(Stream("?", "?", "?"), [])}
