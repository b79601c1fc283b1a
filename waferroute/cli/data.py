"""`waferroute data`: read, check and split the images."""

import argparse

from waferroute.cli.arguments import Commands
from waferroute.cli.stage_command import add_stage_command, run_stages


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    add_stage_command(
        commands,
        "data",
        run,
        summary="read, check and split the images",
        description="Read the images, check them and write the split.",
        ray=True,
    )


def run(args: argparse.Namespace) -> int:
    """Do the stage; print what was done."""
    return run_stages(args, ["data"])
