"""`waferroute calibrate`: choose the thresholds."""

import argparse

from waferroute.cli.arguments import Commands
from waferroute.cli.stage_command import add_stage_command, run_stages


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    add_stage_command(
        commands,
        "calibrate",
        run,
        summary="choose the thresholds",
        description="Choose the routing and decision thresholds from calibration images, and certify them.",
    )


def run(args: argparse.Namespace) -> int:
    """Do the stage; print what was done."""
    return run_stages(args, ["calibrate"])
