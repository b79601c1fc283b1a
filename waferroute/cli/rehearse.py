"""`waferroute rehearse`: a year of a fab in minutes, through the real service."""

import argparse
import json
from pathlib import Path

from waferroute.cli.arguments import BUNDLE, Commands, add_command, add_json, parallel, seed, whole


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "rehearse",
        run,
        summary="play a year of a fab through the real service: what is noticed, when, by what, at what cost",
        description="Start the service with a bundle, send it a sample of a fab's images with the times of a year, "
        "and let things go wrong: an ageing lamp, a new lamp, a new recipe, a new defect type at 0.1 %, two bad "
        "candidates, a killed worker. Printed is when each was noticed, by what, and what it had cost by then (USD "
        "of the case study), against the 11 days of today. The images are SYNTHETIC micrographs, or those of a "
        "folder.",
        example="waferroute rehearse runs/synthetic/bundle --days 365",
        extra="train",
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help=BUNDLE)
    parser.add_argument(
        "--days", metavar="N", type=whole(14, 3660), default=365,
        help="days of the fab, 14 or more: the service learns what is usual first (default: 365)",
    )  # fmt: skip
    parser.add_argument(
        "--images-per-day",
        metavar="N",
        type=whole(1, 1_000_000),
        default=24,
        help="of all tools together (default: 24)",
    )
    parser.add_argument(
        "--tools", metavar="N", type=whole(2, 1000), default=3,
        help="inspection tools, 2 or more: one lamp ages, another is changed (default: 3)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", metavar="N", type=parallel, default=2, help="of the service (default: 2)"
    )
    parser.add_argument(
        "--layout", choices=("line_space", "contacts", "logic"), default="line_space",
        help="pattern of the synthetic micrographs, as the bundle learned it (default: line_space)",
    )  # fmt: skip
    parser.add_argument(
        "--size", metavar="PIXELS", type=whole(32, 4096), default=256, help="their side (default: 256)"
    )
    parser.add_argument(
        "--images", metavar="FOLDER", type=Path,
        help="recorded images instead: good/ and a folder for each defect type",
    )  # fmt: skip
    parser.add_argument(
        "--new-type", metavar="TYPE", help="folder in FOLDER of the type that is new (default: the last one)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=seed, default=0, help="another seed, other images (default: 0)"
    )
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="keep the service's folder here (default: nowhere)"
    )
    parser.add_argument(
        "--retrain", metavar="CONFIG",
        help="also change the process for good and let drift ask for a retraining with these settings (as `waferroute "
        "retrain` takes them; folders are the rehearsal's): candidate, gate, shadow, canary, promotion. It trains on "
        "this machine, so it takes as long as that; deploy/retraining/rehearsal.yaml is for a try",
    )  # fmt: skip
    add_json(parser, "print the result as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Rehearse and print."""
    if args.new_type is not None and args.images is None:
        args.help_of.error("--new-type goes with --images")
    from lifecycle.rehearsal.images import micrographs, recorded
    from lifecycle.rehearsal.played_fab import Size
    from lifecycle.rehearsal.rehearse import rehearse

    retraining = None
    if args.retrain is not None:
        from waferroute.retraining import load_retraining

        retraining = load_retraining(args.retrain)
    library = (
        recorded(args.images, args.new_type)
        if args.images is not None
        else micrographs(args.layout, args.size)
    )
    size = Size(args.days, args.tools, args.images_per_day)
    found, text = rehearse(
        args.bundle,
        library,
        size,
        seed=args.seed,
        workers=args.workers,
        data=args.data,
        retraining=retraining,
    )
    print(json.dumps(found, indent=2, ensure_ascii=False) if args.json else text)
    return 0
