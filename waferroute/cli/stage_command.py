"""What `waferroute run` and the commands of single stages share."""

import argparse
from collections.abc import Sequence

from waferroute.cli.arguments import Commands, Run, add_command, add_config, add_json


def add_stage_command(
    commands: Commands,
    name: str,
    run: Run,
    *,
    summary: str,
    description: str,
    example: str | None = None,
    ray: bool = False,
) -> argparse.ArgumentParser:
    """Add a command that does stages: it takes a configuration, `--json` and `--force`.

    Args:
        commands: Where it goes.
        name: The word on the command line.
        run: Does the work and returns the exit status.
        summary: One line for the list of commands.
        description: What the command does, for its own help.
        example: A command line that works; default: the command with the quickstart configuration.
        ray: Whether it takes `--ray`, because some of its work can be done by a cluster.

    Returns:
        The command's parser, for further arguments.
    """
    parser = add_command(
        commands,
        name,
        run,
        summary=summary,
        description=description,
        example=example or f"waferroute {name} configs/quickstart.yaml",
    )
    add_config(parser)
    add_json(parser, "print the summary as JSON on standard output")
    if ray:
        parser.add_argument(
            "--ray",
            metavar="ADDRESS",
            help="do what images can be divided for on a Ray cluster (auto, ray://head:10001, or local): decoding and "
            "checking shards, teacher features, the training pool, scoring test images; the run folder must be "
            'reachable by its workers (pip install "waferroute[ray]")',
        )
    parser.add_argument("--force", action="store_true", help="do the work again even if nothing changed")
    return parser


def run_stages(args: argparse.Namespace, names: Sequence[str] | None = None, until: str | None = None) -> int:
    """Do the stages `names` (default: all, or all up to `until`) of the configuration in `args`, and print."""
    from wafer_data.shards.on_ray import on_cluster
    from waferroute.run_stages import run_stages as work

    with on_cluster(getattr(args, "ray", None)):
        return work(args.config, args.overrides, names, until=until, force=args.force, json_output=args.json)
