"""`waferroute errors`: every missed defect and false alarm of a finished run, explained."""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from waferroute.cli.arguments import Commands, add_command, add_finished_run
from waferroute.cli.finished_run import finished_run


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "errors",
        run,
        summary="explain every missed defect and false alarm of a run",
        description="Show every missed defect and false alarm of a finished run at its calibrated thresholds, with "
        "image, reconstruction and heat map; group them into failure modes by measured properties; say what to do "
        "about each. Writes a self-contained page (errors.html) and its figures (errors.json).",
        example="waferroute errors runs/quickstart",
    )
    add_finished_run(parser, "errors")
    parser.add_argument(
        "--model",
        choices=("routed", "full"),
        default="routed",
        help="whose errors: of the routed system, or of the full student on every image (default: routed)",
    )
    parser.add_argument(
        "--classes",
        metavar="BUNDLE",
        type=Path,
        help="also say which types the flagged images are, by this bundle's classifier (default: the run's own bundle, "
        "where it has one)",
    )


def run(args: argparse.Namespace) -> int:
    """Explain the errors, write the page and print the failure modes."""
    from eval.errors import analyse_errors, require_replaceable

    out = args.out or args.run / "errors"
    with finished_run(args.run, out) as config:
        require_replaceable(out)  # before minutes of scoring
        with contextlib.redirect_stdout(sys.stderr):  # libraries print there at will
            found = analyse_errors(
                args.run, out, args.model, config.router if config else None, config.eval if config else None,
                args.classes,
            )  # fmt: skip
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_errors(found, out)
    return 0


def _print_errors(found: dict[str, Any], out: Path) -> None:
    counts = found["counts"]
    print(f"missed defects: {counts['missed']} of {counts['test_defects']}")
    print(f"false alarms: {counts['false_alarms']} of {counts['test_normals']} normal images")
    for mode in found["modes"][:3]:
        text = mode["mitigation"].replace("\N{NO-BREAK SPACE}", " ")
        print(f"{mode['name']}: {mode['count']} ({mode['share']:.0%} of its kind)\n    {text}")
    classes = found["classes"]
    if classes is not None and classes["defects"]:
        print(
            f"types of {classes['defects']} flagged defects: {classes['right']} right, the right one in the set of "
            f"{classes['covered']}"
        )
    for word in ("easiest", "hardest"):
        if found[word] is not None:
            reason = found[word]["reason"].replace("\N{NO-BREAK SPACE}", " ")
            print(f"{word} type: {found[word]['type']}: {reason}")
    print(f"page: {out / 'errors.html'}")
    print(f"figures: {out / 'errors.json'}")
