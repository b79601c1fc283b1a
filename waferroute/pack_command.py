"""`waferroute pack`: many image files into few shards. Only the standard library is imported before it runs."""

import argparse
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_pack(commands: Commands) -> None:
    """Add `pack` to the command line."""
    parser = commands.add_parser(
        "pack",
        help="pack image files into an archive of shards",
        description="Write the image files of a data set as Parquet shards, with label, type and mask of each, for "
        "data.format=shards and for `waferroute score`. Image files are copied as they are. Killed at any moment, the "
        "same command goes on with the first shard that is missing.",
        epilog="example: waferroute pack DIR archive --format mvtec, then waferroute run configs/mvtec.yaml "
        "data.format=shards data.root=archive run.dir=runs/mine",
    )
    parser.add_argument("root", metavar="DIR", help="folder of the images")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write the shards into")
    parser.add_argument(
        "--format", choices=("mvtec", "folder"), default="folder", help="how the images lie (default: folder)"
    )
    parser.add_argument("--defects", metavar="DIR", help="format folder: folder of defective images")
    parser.add_argument(
        "--rows", metavar="N", type=_count, default=5000, help="images a shard (default: 5000)"
    )
    parser.set_defaults(action=run_pack, help_of=parser)


def run_pack(args: argparse.Namespace) -> int:
    """Pack `args.root` into `args.out`. Raises InputError for wrong input."""
    from wafer_data.config import DataConfig
    from wafer_data.shards.pack import pack_candidates
    from wafer_data.sources import find_images

    if args.defects is not None and args.format != "folder":
        args.help_of.error("--defects goes with --format folder; mvtec knows its defects")
    candidates = find_images(DataConfig(format=args.format, root=args.root, defects=args.defects))
    paths = pack_candidates(candidates, args.out, args.rows)
    print(f"{len(candidates)} images in {len(paths)} shards: {args.out}")
    return 0


def _count(text: str) -> int:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text}")
