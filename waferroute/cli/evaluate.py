"""`waferroute evaluate`: measure on test images, write the report."""

import argparse

from waferroute.cli.arguments import Commands
from waferroute.cli.stage_command import add_stage_command, run_stages


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    add_stage_command(
        commands,
        "evaluate",
        run,
        summary="measure on test images, write the report",
        description="Measure every model, and the route of the bundle as the tool runs it, on test images; write "
        "report.json and report.html.",
        ray=True,
    )


def run(args: argparse.Namespace) -> int:
    """Do the stage; print what was done."""
    return run_stages(args, ["evaluate"])
