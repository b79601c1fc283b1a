"""`waferroute msa`: attribute agreement of inspectors and system."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waferroute.cli.arguments import Commands, add_command, add_json, seed

if TYPE_CHECKING:
    from collections.abc import Sequence


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "msa",
        run,
        summary="do inspectors and system agree with a reference, each other, themselves?",
        description="Measurement system analysis by attributes, after AIAG: miss and false-alarm rates, effectiveness "
        "and kappa of every appraiser against a reference, of trials against each other, and of every pair, with 95 % "
        "intervals. STUDY is a CSV table with a row for each appraisal: part, reference, appraiser, rating and, if "
        "wanted, trial. Writes a self-contained page (msa.html) and its figures (msa.json).",
        example="waferroute msa study.csv --system v2.3=results.csv --out msa",
    )
    parser.add_argument("study", metavar="STUDY", type=Path, help="table of appraisals (CSV, UTF-8)")
    parser.add_argument(
        "--system",
        metavar="NAME=FILE",
        type=_named,
        action="append",
        default=[],
        help="add a system by the results that `waferroute inspect` wrote for the study's images (--json, --json-lines "
        "or --csv); REVIEW and REJECT count as stopped; may be given several times",
    )
    parser.add_argument(
        "--good", metavar="CATEGORY", default="good", help="category of parts without defect (default: good)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder to write (default: msa beside STUDY)")
    parser.add_argument("--seed", metavar="N", type=seed, default=0, help="of the resamples (default: 0)")
    add_json(parser, "print the figures as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Analyse the study, write the page and print the figures."""
    from eval.msa import analyse_measurement_system

    out = args.out or args.study.parent / "msa"
    systems: dict[str, Path] = {}
    for name, path in args.system:
        if name in systems:
            args.help_of.error(f"two systems are called {name}")
        systems[name] = path
    found = analyse_measurement_system(args.study, out, systems, good=args.good, seed=args.seed)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found, out)
    return 0


def _print(found: dict[str, Any], out: Path) -> None:
    print(f"parts: {found['parts_good']} good, {found['parts_defect']} defective")
    for one in found["appraisers"]:
        figures = (("missed", "misses"), ("false alarms", "false_alarms"), ("right", "right"))
        said = [f"{word} {_rate(one[key])}" for word, key in figures]
        print(f"{one['name']}: {'; '.join(said)}; kappa {_kappa(one['kappa'])}")
    for pair in found["pairs"]:
        print(f"{pair['first']} and {pair['second']}: kappa {_kappa(pair['kappa'])}")
    for sentence in (*found["notes"], *found["advice"]):
        print(f"note: {sentence}")
    print(f"page: {out / 'msa.html'}")
    print(f"figures: {out / 'msa.json'}")


def _rate(rate: dict[str, Any]) -> str:
    if rate["rate"] is None:
        return "unknown"
    return f"{rate['rate']:.1%} ({rate['low']:.1%} to {rate['high']:.1%})"


def _kappa(found: dict[str, Any] | None) -> str:
    if found is None or found["kappa"] is None:
        return "unknown"
    return f"{found['kappa']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _named(text: str) -> "Sequence[Any]":
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected NAME=FILE, got {text}")
    return name, Path(path)
