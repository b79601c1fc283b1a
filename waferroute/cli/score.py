"""`waferroute score`: an archive of stored images scored with a bundle."""

import argparse
import json
from pathlib import Path

from waferroute.cli.arguments import Commands, add_command, add_json, add_public_key, parallel


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "score",
        run,
        summary="score an archive of stored images with a bundle, results as Parquet",
        description="Score every image of an archive (Parquet or tar shards, on a disk or an object store, or a folder "
        "of image files) as the tool would. Writes a Parquet file of results a shard and summary.json. Killed at any "
        "moment, the same command goes on with the shards that are not done.",
        example="waferroute score archive --bundle runs/mine/bundle --out scored --workers 16",
        extra="archive",
    )
    parser.add_argument("archive", metavar="ARCHIVE", help="folder, or address such as s3://bucket/folder")
    parser.add_argument("--bundle", metavar="BUNDLE", required=True, help="bundle folder to score with")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--recipe", metavar="NAME", help="recipe of all images (default: each image's own column)"
    )
    parser.add_argument(
        "--workers", metavar="N", type=parallel, default=1, help="processes, one core each (default: 1)"
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="score on a Ray cluster: auto, ray://head:10001, or local (needs the extra [ray]; bundle and DIR must be "
        "reachable by its workers)",
    )
    parser.add_argument(
        "--no-latents", action="store_true", help="leave the latent vectors out, which `nearest` searches"
    )
    add_public_key(parser)
    add_json(parser, "print the summary as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Score the archive; print counts and speed."""
    from tool_side.archive.run import Job, score_archive

    key = None if args.public_key is None else str(args.public_key)
    job = Job(args.bundle, args.out, args.recipe, not args.no_latents, key)
    passes = None
    if args.ray is not None:
        from tool_side.archive.on_ray import ray_passes

        passes = ray_passes(args.ray, args.workers if args.workers > 1 else None)
    summary = score_archive(args.archive, job, passes, args.workers)
    if args.json:
        print(json.dumps(summary, indent=2))
        return 0
    print(
        f"{summary['images']} images in {summary['shards']} shards, {summary['shards_scored_now']} of them scored now"
    )
    for decision, number in sorted(summary["decisions"].items()):
        print(f"{decision}: {number}")
    print(f"escalated: {summary['escalated']}; could not be scored: {summary['unjudged']}")
    if summary["images_per_second"] is not None:
        print(
            f"images a second and core: {summary['images_per_second']:.0f} with decoding, "
            f"{summary['images_per_second_without_decoding']:.0f} without"
        )
    print(f"results: {args.out}")
    return 0
