"""The time left of the whole run."""

import pytest

from waferroute.run_clock import RunClock, in_words


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def work(run: RunClock, clock: Clock, stage: str, seconds: float) -> None:
    run.begin(stage)
    clock.now += seconds
    run.end(worked=True)


def test_nothing_is_said_before_a_stage_has_ended(clock: Clock) -> None:
    run = RunClock({"a": 1.0, "b": 9.0}, clock)
    assert run.left() is None
    run.begin("a")
    clock.now += 50
    assert run.left() is None


def test_the_rest_takes_as_long_as_its_effort_says_at_the_speed_so_far(clock: Clock) -> None:
    run = RunClock({"a": 1.0, "b": 4.0, "c": 5.0}, clock)
    work(run, clock, "a", 10)
    assert run.left() == pytest.approx(90)
    run.begin("b")
    clock.now += 30
    assert run.left() == pytest.approx(60)


def test_a_stage_that_is_late_makes_the_rest_late_too(clock: Clock) -> None:
    run = RunClock({"a": 1.0, "b": 4.0, "c": 5.0}, clock)
    work(run, clock, "a", 10)
    run.begin("b")
    clock.now += 90  # 40 were expected
    assert run.left() == pytest.approx(100 / 5 * 5)


def test_skipped_stages_say_nothing_about_the_speed(clock: Clock) -> None:
    run = RunClock({"a": 1.0, "b": 4.0}, clock)
    run.begin("a")
    run.end(worked=False)
    assert run.left() is None


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (700, "12 min"), (6300, "1 h 45 min")])
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_what_is_still_to_come_is_weighed_again_once_more_is_known_of_it(clock: Clock) -> None:
    run = RunClock({"a": 1.0, "b": 1.0, "c": 1.0}, clock)
    work(run, clock, "a", 10)
    run.reweigh({"a": 50.0, "b": 3.0})
    assert run.left() == pytest.approx(40)
