"""`waferroute inspect`: decide on images with a bundle, once or as they arrive."""

import argparse
from pathlib import Path
from typing import Any

from waferroute.cli.arguments import (
    BUNDLE,
    Commands,
    add_command,
    add_json,
    add_public_key,
    parallel,
    positive,
    seconds,
)

_WATCH_ONLY = {
    "json_lines": None, "csv": None, "once": False, "poll": 0.5, "settle": 0.5, "give_up": 60.0,
    "monitor": None,
}  # fmt: skip
_KLARF_ONLY = ("out", "images", "pixel_um")


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "inspect",
        run,
        summary="inspect images with a bundle (needs no training side)",
        description="Inspect images with an exported bundle: decision, score, route and time for each. Exit "
        "status 3 if any image could not be inspected. With --watch, inspect images as they arrive in a folder, until "
        "Ctrl-C or SIGTERM; killed at any moment, the same command goes on where it stopped, and every image gets "
        "exactly one line in the results file.",
        example="waferroute inspect runs/quickstart/bundle IMAGES --json --heatmaps maps; to watch: "
        "waferroute inspect runs/quickstart/bundle --watch DIR --csv results.csv; a tool's defect list: "
        "waferroute inspect runs/quickstart/bundle --klarf in.klarf --out out.klarf",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE)
    parser.add_argument(
        "inputs",
        metavar="IMAGE_OR_FOLDER",
        nargs="*",
        default=[],
        help="image files, or folders searched for images",
    )
    add_json(parser, "print one JSON object a line and image")
    parser.add_argument("--heatmaps", metavar="DIR", help="write a heat map of every image into this folder")
    parser.add_argument(
        "--threads", metavar="N", type=parallel, default=1, help="threads of the graph runner (default: 1)"
    )
    parser.add_argument(
        "--recipe", metavar="NAME", help="recipe of the images, where the bundle holds several"
    )
    parser.add_argument(
        "--recipe-from-folder", action="store_true", help="the folder that an image lies in names its recipe"
    )
    parser.add_argument(
        "--reduced-decoding",
        action="store_true",
        help="decode JPEG files of at least twice the models' size at a part of their size: faster, and scores move a "
        "little from those that the thresholds were calibrated on",
    )
    add_public_key(parser)
    bins = parser.add_argument_group("bins")
    bins.add_argument(
        "--rules",
        metavar="FILE",
        help="bin rules (JSON or TOML): bins of flagged images' defects by type, size and place on the die; a bin may "
        "make a decision stricter, never milder",
    )
    bins.add_argument(
        "--stage",
        metavar="[RECIPE=]FILE",
        action="append",
        default=[],
        help="stage map (JSON) of a recipe, or of all: sizes in micrometres and places on die and wafer; repeatable. "
        "An image's site is its file's name without ending",
    )
    klarf = parser.add_argument_group("a tool's defect list")
    klarf.add_argument(
        "--klarf",
        metavar="FILE",
        help="inspect the images that this KLARF file (1.1, 1.2, 1.8) names, and write the list with decision bins, "
        "review flags and scores filled in",
    )
    klarf.add_argument("--out", metavar="FILE", help="KLARF file to write; may be the one that is read")
    klarf.add_argument(
        "--images", metavar="DIR", help="folder of the list's images (default: that of the list)"
    )
    klarf.add_argument(
        "--score-column",
        metavar="NAME",
        default="ANOMALYSCORE",
        help="column for the scores, added where the list lacks it; none: leave the columns as they are "
        "(default: ANOMALYSCORE)",
    )
    klarf.add_argument(
        "--pixel-um",
        metavar="UM",
        type=positive,
        help="side of a pixel in micrometres, for sizes (default: the list's)",
    )
    watch = parser.add_argument_group("watching a folder")
    watch.add_argument(
        "--watch", metavar="DIR", help="inspect the images in this folder and those that arrive in it"
    )
    watch.add_argument(
        "--json-lines",
        metavar="FILE",
        help="results file, one JSON object a line; it is also the memory of what is done "
        "(default: beside the folder, DIR.results.jsonl)",
    )
    watch.add_argument("--csv", metavar="FILE", help="also keep the results as a table")
    watch.add_argument(
        "--monitor",
        metavar="FILE",
        help="watch whether the images still resemble the calibration; keep the status in this file (JSON), say "
        "alarms on standard error",
    )
    watch.add_argument(
        "--once",
        action="store_true",
        help="end when every image that is there now has its result; one that cannot be decoded has it after --give-up",
    )
    for option, about in (
        ("--poll", "time between two looks at the folder"),
        ("--settle", "how long a file must stand still before it is read"),
        ("--give-up", "report a file that cannot be decoded this long after its last change"),
    ):
        default = _WATCH_ONLY[option[2:].replace("-", "_")]
        watch.add_argument(
            option, metavar="SECONDS", type=seconds, default=default, help=f"{about} (default: {default:g})"
        )
    parser.set_defaults(takes_more="inputs")


def run(args: argparse.Namespace) -> int:
    """Print one line an image; 3 if any could not be scored."""
    if args.stage and (args.rules is None or args.klarf is not None):
        args.help_of.error(
            "--stage goes with --rules FILE and without --klarf: a list says where its defects lie"
        )
    if args.watch is not None:
        if args.klarf or any(getattr(args, name) for name in _KLARF_ONLY):
            args.help_of.error("--watch and --klarf exclude each other")
        return _watch(args)
    given = [name for name, default in _WATCH_ONLY.items() if getattr(args, name) != default]
    if given:
        args.help_of.error(f"--{given[0].replace('_', '-')} goes with --watch DIR")
    if args.klarf is not None:
        return _klarf(args)
    for name in _KLARF_ONLY:
        if getattr(args, name) is not None:
            args.help_of.error(f"--{name.replace('_', '-')} goes with --klarf FILE")
    if not args.inputs:
        args.help_of.error("give images or folders to inspect, --watch DIR, or --klarf FILE")
    from tool_side.runtime.inspect_files import run_inspect

    return run_inspect(
        args.bundle,
        args.inputs,
        json_output=args.json,
        heatmaps=args.heatmaps,
        threads=args.threads,
        **_shared_options(args),
    )


def _klarf(args: argparse.Namespace) -> int:
    if args.inputs or args.heatmaps or args.recipe_from_folder:
        args.help_of.error("--klarf FILE goes without images, --heatmaps and --recipe-from-folder")
    if args.out is None:
        args.help_of.error("--klarf FILE needs --out FILE, the list to write")
    from waferroute.klarf_inspect import run_klarf_inspect

    return run_klarf_inspect(
        args.bundle,
        args.klarf,
        args.out,
        images=args.images,
        recipe=args.recipe,
        threads=args.threads,
        reduced_decoding=args.reduced_decoding,
        public_key=args.public_key,
        score_column=None if args.score_column == "none" else args.score_column,
        rules=args.rules,
        pixel_um=args.pixel_um,
        json_output=args.json,
    )


def _watch(args: argparse.Namespace) -> int:
    if args.inputs:
        args.help_of.error(f"--watch takes one folder; {args.inputs[0]} is one too many")
    from tool_side.watch.watch import WatchOptions, run_watch

    paths: dict[str, Any] = {
        name: Path(getattr(args, name))
        for name in ("json_lines", "csv", "heatmaps", "monitor")
        if getattr(args, name)
    }
    options = WatchOptions(
        json_output=args.json,
        once=args.once,
        poll=args.poll,
        settle=args.settle,
        give_up=args.give_up,
        threads=args.threads,
        **_shared_options(args),
        **paths,
    )
    return run_watch(args.bundle, args.watch, options)


def _shared_options(args: argparse.Namespace) -> dict[str, Any]:
    if args.recipe is not None and args.recipe_from_folder:
        args.help_of.error("--recipe and --recipe-from-folder exclude each other")
    from tool_side.runtime.defect_bins import load_bins

    names = ("recipe", "recipe_from_folder", "reduced_decoding", "public_key")
    bins = None if args.rules is None else load_bins(args.rules, args.stage)
    return {name: getattr(args, name) for name in names} | {"bins": bins}
