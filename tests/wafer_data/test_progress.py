"""Progress: items pass through; output goes to stderr, seldom without a terminal, never when quiet."""

import io
import sys
from contextlib import redirect_stderr

import pytest

from wafer_data import progress
from wafer_data.progress import Progress, track, whole_run

SHOW_CURSOR = "\x1b[?25h"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAFERROUTE_QUIET")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize("quiet", ["0", "1"])
def test_items_pass_through(quiet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAFERROUTE_QUIET", quiet)
    assert list(track([3, 1, 2], "work")) == [3, 1, 2]
    assert list(track((i for i in range(3)), "work")) == [0, 1, 2]


def test_a_terminal_shows_a_bar_with_the_count(loud: None) -> None:
    with redirect_stderr(Terminal()) as screen:
        list(track(range(7), "checking images"))
    assert "checking images" in screen.getvalue()
    assert "7/7" in screen.getvalue()


def test_nested_loops_share_the_terminal(loud: None) -> None:
    with redirect_stderr(Terminal()) as screen, Progress() as display:
        epochs = display.add("training", total=2)
        for _ in range(2):
            list(track(range(3), "inner"))
            display.advance(epochs, note="loss 0.25")
    assert "2/2" in screen.getvalue()
    assert "loss 0.25" in screen.getvalue()


def test_a_new_display_can_open_after_an_error(loud: None) -> None:
    with redirect_stderr(Terminal()) as screen:
        with pytest.raises(RuntimeError), Progress() as display:
            display.add("doomed")
            raise RuntimeError
        list(track(range(2), "next"))
    assert "next" in screen.getvalue()


def test_after_an_error_in_a_loop_the_display_can_be_closed(loud: None) -> None:
    with redirect_stderr(Terminal()) as screen:
        try:
            for _ in track(range(2), "work"):
                raise RuntimeError
        except RuntimeError:
            progress.close_display()
            assert screen.getvalue().endswith(SHOW_CURSOR)
            with Progress() as display:
                assert display.is_outermost
    progress.close_display()  # nothing open: nothing to do


def test_leaving_a_loop_early_closes_its_display() -> None:
    for item in track(range(5), "work"):
        if item == 2:
            break
    with Progress() as display:
        assert display.is_outermost


def test_short_work_without_a_terminal_says_nothing(loud: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    list(track(range(100), "work"))
    assert caplog.messages == []


def test_long_work_without_a_terminal_says_how_far_it_is(
    loud: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for _ in track(range(10), "work"):
        now[0] += 10
    assert caplog.messages == [
        "work: 3 of 10, about 70 s left",
        "work: 6 of 10, about 40 s left",
        "work: 9 of 10, about 10 s left",
        "work: 10 of 10 in 100 s",
    ]


def test_quiet_means_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "SHORT_S", 0.0)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    list(track(range(3), "work"))
    assert screen.getvalue() == ""


def test_long_work_also_says_what_is_left_of_the_whole_run(
    loud: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with whole_run(lambda: "about 12 min left of the whole run"):
        for _ in track(range(4), "work"):
            now[0] += 30
    assert caplog.messages[0] == "work: 1 of 4, about 90 s left; about 12 min left of the whole run"
    with redirect_stderr(Terminal()) as screen, whole_run(lambda: "about 12 min left of the whole run"):
        list(track(range(3), "work"))
    assert "about 12 min left of the whole run" in screen.getvalue()
