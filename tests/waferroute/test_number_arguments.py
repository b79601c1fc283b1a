"""Numbers on the command line: what is no number, or none that can be meant, is refused before any work."""

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from waferroute.cli import main
from waferroute.cli.arguments import addresses, count, gigabytes, parallel, pause, port, seconds, whole

REFUSED = {
    seconds: ("0", "-1", "nan", "inf", "1e300", "x"),
    pause: ("-1", "nan", "inf", "1e300", ""),
    count: ("0", "-1", "1.5", "nan", "1e300"),
    parallel: ("0", "1e9", "2.5"),
    port: ("0", "-5", "65536", "http"),
    gigabytes: ("0", "-3", "nan", "inf", "1e300"),
    whole(2, 3): ("1", "4"),
    addresses: ("balancer", "10.0.0.1;10.0.0.2", "10.0.0.256", ""),
}


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in REFUSED.items() for text in texts]
)
def test_it_is_refused_with_what_is_wanted(kind: Callable[[str], Any], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected .*, got"):
        kind(text)


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        (pause, "0", 0.0),
        (seconds, "1e-3", 0.001),
        (count, "1e3", 1000),
        (port, "65535", 65_535),
        (gigabytes, "0.5", 500_000_000),
        (whole(2, 3), "3", 3),
        (addresses, "127.0.0.1, 10.0.0.0/8, ::1", "127.0.0.1, 10.0.0.0/8, ::1"),
        (addresses, "*", "*"),
    ],
)
def test_it_is_taken(kind: Callable[[str], Any], text: str, found: object) -> None:
    assert kind(text) == found


@pytest.mark.parametrize(
    "words",
    [
        "model gate v1.0.0 set --data d --set escape=nan",
        "model gate v1.0.0 set --data d --set regressions=inf",
        "model canary v1.0.0 --data d --share nan",
        "model canary v1.0.0 --data d --days inf",
        "fleet start v1.0.0 --data d --soak nan",
        "rehearse b --size 1",
        "rehearse b --days 1e300",
        "rehearse b --tools 1",
        "score a --bundle b --out o --workers 1e9",
        "inspect b i --threads 1e9",
    ],
)
def test_no_command_begins_with_one(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(words.split())
    assert refused.value.code == 2 and f"argument {words.split()[-2]}: " in capsys.readouterr().err
