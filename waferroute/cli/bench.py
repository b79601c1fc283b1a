"""`waferroute bench`: how fast a bundle is on this computer."""

import argparse

from waferroute.cli.arguments import BUNDLE, Commands, add_command, add_json, counts, seconds, share


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "bench",
        run,
        summary="measure how fast a bundle is on this computer (needs no training side)",
        description="Measure latency and throughput of the whole route and of each graph, start-up time and memory "
        "on this computer, and say which thread setting is best for it. Takes about a minute; run it on an "
        "otherwise idle computer.",
        example="waferroute bench runs/quickstart/bundle IMAGES --threads 1,2",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE)
    parser.add_argument(
        "images",
        metavar="IMAGE_OR_FOLDER",
        nargs="*",
        default=[],
        help="images to measure with (default: synthetic noise)",
    )
    add_json(parser, "print JSON instead of the tables")
    parser.add_argument(
        "--threads",
        metavar="N,N",
        type=counts,
        help="thread settings of the graph runner to compare (default: 1, 2, 4 ... up to the cores)",
    )
    parser.add_argument(
        "--batches", metavar="N,N", type=counts, default=[1, 8, 32, 64], help="(default: 1,8,32,64)"
    )
    parser.add_argument(
        "--escalation",
        metavar="SHARE",
        type=share,
        help="share of images that the full student sees, 0 to 1 (default: the bundle's target)",
    )
    parser.add_argument(
        "--seconds", type=seconds, default=1.0, help="how long to measure each of the figures (default: 1)"
    )
    parser.set_defaults(takes_more="images")


def run(args: argparse.Namespace) -> int:
    """Measure, and print the tables."""
    from tool_side.bench.command import BenchOptions, run_bench

    options = BenchOptions(
        threads=args.threads, batches=args.batches, escalation=args.escalation, seconds=args.seconds
    )
    return run_bench(args.bundle, args.images, options, json_output=args.json)
