"""Stations that get whole lots: a reference holds lots enough, and who has seen too few says nothing."""

import numpy as np
import pytest

from lifecycle.drift.fab import DAY_S, History, look_at_fab
from lifecycle.drift.first_wafers import (
    LARGEST_LOT,
    LEAST_UNITS,
    MOST_REFERENCE_WAFERS,
    REFERENCE_LOTS,
    REFERENCE_WAFERS,
    lots_begun,
)
from lifecycle.drift.frame import Frame
from lifecycle.drift.wafer_summary import Stream, WaferSummary

LOTS_A_DAY, WAFERS_A_LOT, DAYS = 8, 25, 6
NOW = DAYS * DAY_S
STREAMS = [Stream(f"T{i}", f"M{i % 2}", "r") for i in range(4)]


def station(rng: np.random.Generator, name: str, gain: float = 1.0, since: float = NOW) -> History:
    """Whole lots one after another, which differ by 1.2 % in brightness; at `since` the lamp changes."""
    found = []
    for number in range(DAYS * LOTS_A_DAY):
        score, look = rng.normal(0, 0.25), rng.normal(0, 0.012, 3)
        for place in range(WAFERS_A_LOT):
            at = (number + (place + 0.5) / WAFERS_A_LOT) / LOTS_A_DAY * DAY_S
            logs = np.log([0.4, 0.1, 0.5]) + look + rng.normal(0, 0.012, 3)
            logs[:2] += np.log(gain) if at > since else 0.0
            figures = dict(zip(("mean", "std", "sharpness"), np.exp(logs).tolist(), strict=True))
            scores = rng.normal(score + rng.normal(0, 0.35), 1, 20)
            latents = rng.normal(0, 1, (6, 4)) + rng.normal(0, 0.4, 4) + score
            wafer = WaferSummary.of(
                f"{name}-{number}-{place}", f"{name}-{number}", scores, latents, [figures], images=20
            )
            found.append((at, wafer))
    return found


def plain(lots: list[str | None]) -> Frame:
    """One stream whose wafers, an hour apart, say nothing but their lot."""
    wafers = [
        WaferSummary(f"w{i}", lot, np.empty(0), np.empty(0), float("nan"), np.empty(0), 1)
        for i, lot in enumerate(lots)
    ]
    return Frame.of({STREAMS[0]: [(i * 3600.0, wafer) for i, wafer in enumerate(wafers)]})


def reference(lots: list[str | None]) -> int:
    """Reference wafers of that stream for the wafers of its last six hours."""
    (sides,) = plain(lots).sides([6 * 3600.0], (len(lots) - 1) * 3600.0)
    return int(sides.reference.mask.sum())


def whole_lots(lots: int, wafers: int = WAFERS_A_LOT) -> list[str | None]:
    return [f"l{i}" for i in range(lots) for _ in range(wafers)]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_station_that_gets_whole_lots_is_not_paged_while_nothing_drifts(seed: int):
    rng = np.random.default_rng(seed)
    stations = {stream: station(rng, stream.tool) for stream in STREAMS}
    for hour in range(6, 24 * DAYS, 6):
        now = hour * 3600.0
        known = {stream: [w for w in wafers if w[0] <= now] for stream, wafers in stations.items()}
        assert look_at_fab(known, now, lambda recipe: np.empty(0)).alarms == (), f"hour {hour}"


def test_a_lamp_that_is_five_percent_brighter_is_found_within_six_hours():
    rng = np.random.default_rng(2)
    stations = {stream: station(rng, stream.tool) for stream in STREAMS[1:]}
    stations[STREAMS[0]] = station(rng, "T0", gain=1.05, since=NOW - DAY_S / 4)
    (alarm,) = look_at_fab(stations, NOW, lambda recipe: np.empty(0)).alarms
    assert (alarm.cause, alarm.where) == ("lamp or focus of one tool", "T0")


@pytest.mark.parametrize("wafers", [3, 12, 25])
def test_a_reference_holds_as_many_lots_as_it_takes_to_know_how_lots_differ(wafers: int):
    assert reference(whole_lots(60, wafers)) == REFERENCE_LOTS * wafers


@pytest.mark.parametrize("lots", [[None] * 300, [""] * 300, whole_lots(150, 2), whole_lots(300, 1)])
def test_where_a_lot_is_a_wafer_or_two_or_none_is_named_the_first_sixty_wafers_are_it(lots: list[str | None]):
    assert reference(lots) == REFERENCE_WAFERS


def test_a_reference_has_an_end_however_large_the_lots():
    assert reference(whole_lots(60, 28)) == MOST_REFERENCE_WAFERS


def test_a_lot_that_comes_back_later_is_no_part_of_the_reference():
    once = whole_lots(60)
    assert reference([*once, *once[:WAFERS_A_LOT]]) == REFERENCE_LOTS * WAFERS_A_LOT


def test_a_stream_that_has_seen_few_lots_waits():
    few = LEAST_UNITS - 1
    assert reference([*whole_lots(few), *["next"] * 6]) == 0  # four fifths of it are six lots
    assert reference(whole_lots(LEAST_UNITS + 3)) > LEAST_UNITS * WAFERS_A_LOT


def test_a_lot_name_that_never_changes_is_no_lot():
    waits = LEAST_UNITS * LARGEST_LOT
    assert reference(["product 7"] * (waits - 1)) == 0
    endless = plain(["product 7"] * waits)
    assert set(endless.lot) == {-1}
    assert len(set(endless.unit)) == waits
    assert reference(["product 7"] * waits) == REFERENCE_WAFERS


def test_lots_are_counted_in_each_stream_by_itself_and_where_they_begin():
    stream, lot = np.array([0, 0, 0, 0, 0, 2, 2, 2]), np.array([3, 3, -1, 4, 3, 4, -1, 4])
    assert lots_begun(stream, lot).tolist() == [1, 1, 2, 3, 3, 1, 2, 2]
    assert lots_begun(np.empty(0, int), np.empty(0, int)).tolist() == []
