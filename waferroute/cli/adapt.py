"""`waferroute adapt`: fit the teacher to normal images."""

import argparse

from waferroute.cli.arguments import Commands
from waferroute.cli.stage_command import add_stage_command, run_stages


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    add_stage_command(
        commands,
        "adapt",
        run,
        summary="fit the teacher to normal images",
        description="Fit the teacher: the pretrained backbone and the latent-conditional Gaussian over its features.",
        ray=True,
    )


def run(args: argparse.Namespace) -> int:
    """Do the stage; print what was done."""
    return run_stages(args, ["adapt"])
