"""`waferroute compare`: finished runs side by side."""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from waferroute.cli.arguments import Commands, add_command, add_json

OUT = "comparison"


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "compare",
        run,
        summary="finished runs side by side, with paired intervals",
        description="Compare finished runs on the test images they share: every model's metrics with 95 % intervals, "
        "and the paired differences from a reference run. Nothing is scored again. Writes a self-contained page "
        "(comparison.html) and its figures (comparison.json). Runs whose test images differ are refused.",
        example="waferroute compare runs/first runs/second --out comparison",
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="a run folder that holds report/; at least two"
    )
    parser.add_argument("--out", metavar="DIR", default=OUT, help=f"folder to write (default: {OUT})")
    parser.add_argument("--reference", metavar="RUN", help="the run to compare with (default: the first)")
    parser.add_argument(
        "--common", action="store_true", help="compare on the common test images alone where the runs' differ"
    )
    add_json(parser, "print the figures as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Compare the runs, write the page and print the differences."""
    from eval.compare import compare_runs

    # Standard output is for results, which another program may read; libraries print there at will.
    with contextlib.redirect_stdout(sys.stderr):
        found = compare_runs(
            [Path(run) for run in args.runs],
            Path(args.out),
            Path(args.reference) if args.reference else None,
            args.common,
        )
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found, Path(args.out))
    return 0


def _print(found: dict[str, Any], out: Path) -> None:
    images = found["images"]
    print(f"{images['common']} common test images: {images['normal']} normal, {images['defect']} defective")
    print(f"reference: {found['reference']}")
    for name, differences in found["differences"].items():
        for model, metrics in differences["models"].items():
            auroc, missed = metrics["image_auroc"], metrics["fnr_at_fpr5"]
            print(f"{name} {model}: AUROC {_said(auroc)}; missed at 5 % {_said(missed, 100, 1)} points")
    print(f"page: {out / 'comparison.html'}")
    print(f"figures: {out / 'comparison.json'}")


def _said(found: dict[str, Any], factor: float = 1.0, digits: int = 3) -> str:
    middle, low, high = (f"{factor * found[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    return f"{middle} ({low} to {high}, {found['verdict']})"
