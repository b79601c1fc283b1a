"""`waferroute verify`: whether a bundle is whole and runs here."""

import argparse

from waferroute.cli.arguments import BUNDLE, Commands, add_command, add_json, add_public_key


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "verify",
        run,
        summary="check that a bundle is whole and runs here (needs no training side)",
        description="Check a bundle: the version of its format, the sha256 of every file, that every graph loads and "
        "runs on this computer, and that a built-in test pattern gets the scores it got at the export. Exit status "
        "2, with the reason, if anything is wrong.",
        example="waferroute verify runs/quickstart/bundle",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE)
    add_public_key(parser)
    add_json(parser, "print JSON instead of the table")


def run(args: argparse.Namespace) -> int:
    """Check the bundle; 2 if anything is wrong."""
    from tool_side.bundle.verify import run_verify

    return run_verify(args.bundle, public_key=args.public_key, json_output=args.json)
