"""The commands that explain a finished run. Only the standard library is imported before one of them runs."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_RUN = "run folder whose `calibrate` stage is done, for example runs/quickstart"


def add_analysis_commands(commands: Commands) -> None:
    """Add `errors` and `novelty` to the command line."""
    _add_errors(commands)
    _add_novelty(commands)


def _add_errors(commands: Commands) -> None:
    parser = commands.add_parser(
        "errors",
        help="explain every missed defect and false alarm of a run",
        description="Show every missed defect and false alarm of a finished run at its calibrated thresholds, with "
        "image, reconstruction and heat map; group them into failure modes by measured properties; say what to do "
        "about each. Writes a self-contained page (errors.html) and its figures (errors.json).",
        epilog="example: waferroute errors runs/quickstart",
    )
    _add_run_arguments(parser, "errors")
    parser.add_argument(
        "--model",
        choices=("routed", "full"),
        default="routed",
        help="whose errors: of the routed system, or of the full student on every image (default: routed)",
    )
    parser.set_defaults(action=_run("run_errors"), help_of=parser)


def _add_novelty(commands: Commands) -> None:
    parser = commands.add_parser(
        "novelty",
        help="how well, and how soon, a defect type that nobody has labelled is noticed",
        description="Leave one defect type out of the labels at a time and measure how well it is found; then "
        "simulate how many images and hours pass until a new type is noticed. Writes a self-contained page "
        "(novelty.html), its figures (novelty.json) and a picture (delay.svg). Nothing is trained: the students stay "
        "as they are, their likelihood and defect head are fitted again.",
        epilog="example: waferroute novelty runs/quickstart --rate 0.0001",
    )
    _add_run_arguments(parser, "novelty")
    parser.add_argument(
        "--per-type",
        metavar="N",
        type=_count,
        default=40,
        help="labelled defects of each other type, at most half of it (default: 40)",
    )
    parser.add_argument(
        "--images-per-month",
        metavar="N",
        type=_positive,
        default=2.4e6,
        help="images inspected in a month of 30 days (default: 2400000)",
    )
    parser.add_argument(
        "--rate",
        metavar="SHARE",
        type=_share,
        default=1e-4,
        help="share of images that show the new type from its first day on (default: 0.0001, 1 in 10 000)",
    )
    parser.add_argument(
        "--false-alarms-per-month",
        metavar="N",
        type=_positive,
        default=0.1,
        help="false alarms a month of the monitor of the flagged rate (default: 0.1, once in ten months)",
    )
    parser.add_argument("--seed", metavar="N", type=_seed, default=0, help="of the draws (default: 0)")
    parser.set_defaults(action=_run("run_novelty"), help_of=parser)


def _add_run_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help=_RUN)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help=f"folder to write (default: {folder} in the run folder)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on standard output")


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    def action(args: argparse.Namespace) -> int:
        from waferroute import analyses

        function: Callable[[argparse.Namespace], int] = getattr(analyses, name)
        return function(args)

    return action


def _positive(text: str) -> float:
    return _number(text, lambda value: 0 < value < float("inf"), "a number above 0")


def _share(text: str) -> float:
    return _number(text, lambda value: 0 < value <= 0.5, "a share above 0 and at most 0.5")


def _count(text: str) -> int:
    return int(_number(text, lambda value: value >= 1 and value == int(value), "a whole number from 1 on"))


def _seed(text: str) -> int:
    return int(_number(text, lambda value: value >= 0 and value == int(value), "a whole number from 0 on"))


def _number(text: str, allowed: Callable[[float], bool], wanted: str) -> float:
    try:
        value = float(text)
        if allowed(value):
            return value
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"expected {wanted}, got {text}")
