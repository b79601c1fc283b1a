"""`waferroute explore`: look at a data set before anything is trained."""

import argparse
import contextlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from waferroute.cli.arguments import Commands, add_command, add_config, add_json

FOLDER = "explore"


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "explore",
        run,
        summary="look at the data before anything is trained",
        description="Look at the images: texture, alignment, intensity range, how defects differ from normals, how "
        "large they are, whether a threshold would do. Prepares the data if that is not done yet, then writes a "
        "self-contained page (explore.html), its figures (explore.json) and pictures.",
        example="waferroute explore configs/mvtec.yaml data.root=DIR run.dir=runs/mine",
    )
    add_config(parser)
    add_json(parser, "print the figures as JSON on standard output")
    parser.add_argument("--out", metavar="DIR", help=f"folder to write (default: {FOLDER} in the run folder)")


def run(args: argparse.Namespace) -> int:
    """Prepare the data unless that is done, explore them, write the page and print the answers."""
    from eval.explore import explore_data, require_replaceable
    from wafer_data.files import write_text
    from waferroute.config import load_config, to_yaml
    from waferroute.pipeline import Pipeline
    from waferroute.run_lock import locked
    from waferroute.stages import all_stages

    config = load_config(args.config, args.overrides)
    run_dir = config.run_dir
    out = Path(args.out) if args.out else run_dir / FOLDER
    with locked(run_dir):
        require_replaceable(out)  # before minutes of reading images
        text = to_yaml(config)
        if not (run_dir / "config.yaml").exists():
            write_text(run_dir / "config.yaml", text)
        Pipeline(all_stages(shlex.join([args.config, *args.overrides])), config, run_dir).run(["data"])
        # Standard output is for results, which another program may read; libraries print there at will.
        with contextlib.redirect_stdout(sys.stderr):
            found = explore_data(run_dir, out, config.eval, config.data, text)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_answers(found, out)
    return 0


def _print_answers(found: dict[str, Any], out: Path) -> None:
    counts = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in found["data"]["counts"].items())
    print(f"Data: {found['data']['name']} ({counts})")
    for answer in found["answers"]:
        print(f"{answer['question']} {answer['verdict'].replace(chr(0xA0), ' ')}")
    if not found["data"]["types"]:
        print("There is no defect in the data: questions about defects are left out.")
    print(f"page: {out / 'explore.html'}")
    print(f"figures: {out / 'explore.json'}")
