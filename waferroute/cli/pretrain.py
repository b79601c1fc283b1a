"""`waferroute pretrain`: go on pretraining the backbone on the fab's own images."""

import argparse

from waferroute.cli.arguments import Commands
from waferroute.cli.stage_command import add_stage_command, run_stages


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    add_stage_command(
        commands,
        "pretrain",
        run,
        summary="go on pretraining the backbone on your own images (optional)",
        description="Continue the pretraining of the backbone on the run's training images and on further archives, "
        "of any tool, layer and recipe, with and without labels (teacher.pretrain.archives), by masked feature "
        "distillation. Needs teacher.pretrain.enabled=true, with which `run` does it too. `accelerate launch -m "
        "waferroute.cli pretrain CONFIG` trains on several GPUs.",
        example="waferroute pretrain configs/quickstart.yaml teacher.pretrain.enabled=true",
    )


def run(args: argparse.Namespace) -> int:
    """Do the stage; print what was done."""
    return run_stages(args, ["pretrain"])
