"""What the commands' parsers share: a command with its example, and arguments that mean the same everywhere."""

import argparse
import ipaddress
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]

BUNDLE = "bundle folder that `waferroute export` wrote"
_CONFIG = (
    "a YAML file, or the name of a ready-made configuration (quickstart, mvtec, folder); `waferroute config fields` "
    "documents the keys that people set"
)
_OVERRIDES = "settings that replace those of the file, for example run.dir=runs/first distill.full.epochs=4"


def add_command(
    commands: Commands,
    name: str,
    run: Run,
    *,
    summary: str,
    description: str,
    example: str,
    extra: str = "train",
) -> argparse.ArgumentParser:
    """Add one command to the command line.

    Args:
        commands: Where it goes: what `add()` was given, or a group from `add_group`.
        name: The word on the command line.
        run: Does the work and returns the exit status; imports what it needs itself.
        summary: One line for the list of commands.
        description: What the command does, for its own help.
        example: A command line that works, beginning with `waferroute`.
        extra: The extra of the package that brings what is missing where an import fails.

    Returns:
        The command's parser, for its arguments.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, epilog=f"example: {example}"
    )
    parser.set_defaults(action=run, help_of=parser, extra=extra)
    return parser


def add_group(commands: Commands, name: str, *, summary: str, description: str, example: str) -> Commands:
    """Add a command that only holds others, as `waferroute config` holds `show` and `fields`.

    Args:
        commands: Where it goes.
        name: The word on the command line.
        summary: One line for the list of commands.
        description: What the commands in it are about.
        example: A command line that works, of one of them.

    Returns:
        What `add_command` takes for the commands of the group.
    """
    group = commands.add_parser(name, help=summary, description=description, epilog=f"example: {example}")
    group.set_defaults(help_of=group)
    return group.add_subparsers(title="commands", metavar="COMMAND")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG and its key=value overrides."""
    parser.add_argument("config", metavar="CONFIG", help=_CONFIG)
    parser.add_argument("overrides", metavar="key=value", nargs="*", default=[], help=_OVERRIDES)
    parser.set_defaults(takes_more="overrides")


def add_finished_run(parser: argparse.ArgumentParser, out: str) -> None:
    """Add RUN, `--out` (default: `out` in the run folder) and `--json`."""
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="run folder whose `export` stage is done, for example runs/quickstart",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help=f"folder to write (default: {out} in the run folder)"
    )
    add_json(parser, "print the figures as JSON on standard output")


def add_json(parser: argparse.ArgumentParser, about: str = "print JSON") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=about)


def add_public_key(parser: argparse.ArgumentParser) -> None:
    """Add `--public-key`."""
    parser.add_argument(
        "--public-key",
        metavar="FILE",
        help="refuse the bundle unless it is signed with this key's partner (needs the package cryptography)",
    )


HIGHEST_PORT = 65_535
_LONGEST_S = 1e9  # 31 years: what waits longer overflows the system's clocks


def positive(text: str) -> float:
    """A number above 0."""
    return _number(text, lambda value: 0 < value < math.inf, "a number above 0")


def seconds(text: str) -> float:
    """A positive number of seconds."""
    return _number(text, lambda value: 0 < value <= _LONGEST_S, "a positive number of seconds")


def pause(text: str) -> float:
    """A number of seconds, or 0 for none."""
    return _number(text, lambda value: 0 <= value <= _LONGEST_S, "a number of seconds, 0 or more")


def share(text: str) -> float:
    """A share from 0 to 1."""
    return _number(text, lambda value: 0 <= value <= 1, "a share from 0 to 1")


def gigabytes(text: str) -> int:
    """A positive number of gigabytes; returned in bytes."""
    value = _number(text, lambda value: 0 < value <= 1e9, "a positive number of gigabytes")
    return round(value * 1e9)


def count(text: str) -> int:
    """A whole number from 1 on."""
    return _whole(text, 1, 10**18, "a whole number from 1 on")


def counts(text: str) -> list[int]:
    """Whole numbers from 1 on, separated by commas; sorted, each once."""
    return sorted({count(part) for part in text.split(",")})


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number of a range, both ends included."""
    return lambda text: _whole(text, least, most, f"a whole number from {least} to {most}")


parallel = whole(1, 1024)
"""How many processes or threads at once. What a slip of the finger asks for would take the computer with it."""
port = whole(1, HIGHEST_PORT)
"""A TCP port."""


def addresses(text: str) -> str:
    """IP addresses or networks, separated by commas, or `*` for any."""
    try:
        for part in text.split(","):
            if text != "*":
                ipaddress.ip_network(part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected IP addresses or networks with commas between, or *, got {text}"
        ) from None
    return text


def seed(text: str) -> int:
    """A whole number from 0 on."""
    return int(_number(text, lambda value: value >= 0 and value == int(value), "a whole number from 0 on"))


def _whole(text: str, least: int, most: int, wanted: str) -> int:
    return int(_number(text, lambda value: least <= value <= most and value == int(value), wanted))


def _number(text: str, allowed: Callable[[float], bool], wanted: str) -> float:
    try:
        value = float(text)
        if allowed(value):
            return value
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"expected {wanted}, got {text}")
