"""`waferroute feedback`: what reviewers said, as a data set and as evidence."""

import argparse
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from waferroute.cli.arguments import Commands, add_command, add_group, add_json, count


def add(commands: Commands) -> None:
    """Add the commands to the command line."""
    actions = add_group(
        commands,
        "feedback",
        summary='reviewers\' verdicts as a data set and as evidence (needs "waferroute[serve]")',
        description="Give what reviewers said of served images back to the training side.",
        example="waferroute feedback export --data service-data --out feedback-2026-01",
    )
    parser = add_command(
        actions, "export", run, extra="serve",
        summary="write verdicts as a data set in MVTec layout, with evidence from sampled PASS images",
        description="Write train/good (what people called good, undisputed, no escape among them), test/good (a tenth "
        "of those wafers), test/TYPE with masks where they were drawn, provenance.json (every image's SHA-256, origin, "
        "versions, and who said what and when) and evidence.json (defects found in sampled PASS images, with exact "
        "bounds). `waferroute run configs/mvtec.yaml data.root=OUT` takes the folder as it is.",
        example="waferroute feedback export --data service-data --out feedback-2026-01 --per-hour 20",
    )  # fmt: skip
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="the service's data folder")
    parser.add_argument(
        "--out", metavar="OUT", type=Path, required=True, help="folder to write; must not exist"
    )
    parser.add_argument(
        "--database", metavar="URL", help="postgresql://USER@HOST/NAME (default: the SQLite file in DIR)"
    )
    parser.add_argument(
        "--per-hour", metavar="K", type=count,
        help="at most K good images an hour of one tool and lot (default: all)",
    )  # fmt: skip
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and print counts."""
    from service.manage import Manager

    found = Manager(args.data, args.database).export_feedback(args.out, args.per_hour, _track())
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    print(f"{args.out}: {found['train_good']} good images to train on, {found['test_good']} to test")
    for name, number in sorted(found["defects"].items()):
        print(f"  {name}: {number}")
    for reason, number in found["left_out"].items():
        print(f"  left out, {reason}: {number}")
    rate = found["evidence"]["all"]
    if rate["judged"]:
        print(
            f"PASS images that were sampled: {rate['misses']} defective of {rate['judged']} judged; share of all PASS "
            f"that can be sampled {100 * rate['rate']:.3g} %, 95 % interval {100 * rate['low']:.3g} to "
            f"{100 * rate['high']:.3g} %"
        )
    else:
        print("No sampled PASS image has been judged: there is no evidence about what passes.")
    return 0


def _track() -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Progress, where what shows it is installed: serving does not need it."""
    try:
        from wafer_data.progress import track
    except ImportError:
        return iter
    return partial(track, description="images")
