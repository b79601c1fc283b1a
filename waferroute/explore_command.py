"""`waferroute explore`: look at a data set before anything is trained."""

import contextlib
import json
import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from eval.explore import explore_data, require_replaceable
from wafer_data.files import write_text
from waferroute.config import load_config, to_yaml
from waferroute.pipeline import Pipeline
from waferroute.run_lock import locked
from waferroute.stages import all_stages

FOLDER = "explore"


def run_explore(args: Namespace) -> int:
    """Prepare the data unless that is done, explore them, write the page and print the answers.

    `args`: config, overrides, json, and out (default: `explore` in the run folder). Raises InputError for
    everything that can be wrong with configuration, images or folders.
    """
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
