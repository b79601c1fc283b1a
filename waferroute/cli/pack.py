"""`waferroute pack`: many image files into few shards."""

import argparse
import json
from pathlib import Path

from waferroute.cli.arguments import Commands, add_command, add_json, count


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "pack",
        run,
        summary="pack image files into an archive of shards",
        description="Write the image files of a data set as Parquet shards, with label, type and mask of each, for "
        "data.format=shards and for `waferroute score`. Image files are copied as they are. Killed at any moment, the "
        "same command goes on with the first shard that is missing.",
        example="waferroute pack DIR archive --format mvtec, then waferroute run configs/mvtec.yaml "
        "data.format=shards data.root=archive run.dir=runs/mine",
    )
    parser.add_argument("root", metavar="DIR", help="folder of the images")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write the shards into")
    parser.add_argument(
        "--format", choices=("mvtec", "folder"), default="folder", help="how the images lie (default: folder)"
    )
    parser.add_argument("--defects", metavar="DIR", help="format folder: folder of defective images")
    parser.add_argument(
        "--rows", metavar="N", type=count, default=5000, help="images a shard (default: 5000)"
    )
    add_json(parser, "print what was written as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Write the shards; print how many."""
    from wafer_data.config import DataConfig
    from wafer_data.shards.pack import pack_candidates
    from wafer_data.sources import find_images

    if args.defects is not None and args.format != "folder":
        args.help_of.error("--defects goes with --format folder; mvtec knows its defects")
    candidates = find_images(DataConfig(format=args.format, root=args.root, defects=args.defects))
    paths = pack_candidates(candidates, args.out, args.rows)
    if args.json:
        print(json.dumps({"images": len(candidates), "shards": [str(path) for path in paths]}, indent=2))
        return 0
    print(f"{len(candidates)} images in {len(paths)} shards: {args.out}")
    return 0
