"""`waferroute run`: every stage that is not done yet."""

import argparse

from waferroute.cli.arguments import Commands
from waferroute.cli.stage_command import add_stage_command, run_stages


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_stage_command(
        commands,
        "run",
        run,
        summary="run every stage that is not done yet",
        description="Run every stage whose result does not follow from the configuration and the images any more, "
        "and print the main figures. Killed at any moment, the same command goes on where it stopped.",
        example="waferroute run configs/mvtec.yaml data.root=DIR run.dir=runs/mine",
        ray=True,
    )
    parser.add_argument(
        "--until", metavar="STAGE", help="stop after this stage, for example export (default: do all)"
    )


def run(args: argparse.Namespace) -> int:
    """Do every stage that is not done; print the main figures."""
    return run_stages(args, until=args.until)
