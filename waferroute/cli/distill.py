"""`waferroute distill`: train the students."""

import argparse

from waferroute.cli.arguments import Commands
from waferroute.cli.stage_command import add_stage_command, run_stages

STUDENTS = ("intermediate", "target", "full", "lowres")


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_stage_command(
        commands,
        "distill",
        run,
        summary="train the students",
        description="Train the intermediate and target models and both students. `PYTHONSAFEPATH=1 accelerate launch "
        "-m waferroute.cli distill CONFIG` trains on several GPUs.",
        ray=True,
    )
    parser.add_argument("--only", choices=STUDENTS, help="train one of these models only")


def run(args: argparse.Namespace) -> int:
    """Train all of them, or the one that `--only` names."""
    return run_stages(args, [args.only] if args.only else STUDENTS)
