"""`waferroute nearest`: stored images that look most like a given one."""

import argparse
import json
from pathlib import Path

from waferroute.cli.arguments import Commands, add_command, add_json, count


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "nearest",
        run,
        summary="which stored images look most like this one",
        description="Search the results of `waferroute score` for the images whose latent vectors are nearest to that "
        "of IMAGE. The first search builds an index beside the results.",
        example="waferroute nearest scored defect.png --bundle runs/mine/bundle -k 20",
        extra="archive",
    )
    parser.add_argument("results", metavar="RESULTS", type=Path, help="folder that `waferroute score` wrote")
    parser.add_argument("image", metavar="IMAGE", type=Path, help="image file to compare with")
    parser.add_argument("--bundle", metavar="BUNDLE", required=True, help="the bundle of the results")
    parser.add_argument("-k", metavar="N", type=count, default=10, help="how many (default: 10)")
    parser.add_argument("--recipe", metavar="NAME", help="recipe of IMAGE, where the bundle holds several")
    parser.add_argument(
        "--probes",
        metavar="N",
        type=count,
        default=32,
        help="above 20 000 images: cells of the index that are searched (default: 32); more find more of the true "
        "nearest and take longer",
    )
    add_json(parser, "print the images as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Search; print the images, nearest first."""
    from dataclasses import asdict

    from tool_side.archive.nearest import NearestImages
    from tool_side.archive.score import low_latent
    from tool_side.runtime.inspector import Inspector
    from wafer_data.errors import DataError

    index = NearestImages(args.results, args.probes)
    inspector = Inspector(args.bundle)
    if str(inspector.bundle_id) != index.bundle:
        raise DataError(f"{args.results} was scored with another bundle than {args.bundle}")
    inspector.preprocessing.require_squares("`waferroute nearest`")
    latent = low_latent(inspector, inspector.prepare(args.image), args.recipe)
    found = index.search(latent, args.k)
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return 0
    for one in found:
        print(f"{one.distance:8.3f}  {one.decision:<7} {one.source}")
    return 0
