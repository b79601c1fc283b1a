"""`waferroute keys`: a key pair to sign bundles with."""

import argparse

from waferroute.cli.arguments import Commands, add_command, add_json


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "keys",
        run,
        summary="make a key pair to sign bundles with (needs the package cryptography)",
        description="Make an ed25519 key pair: private.pem, which signs bundles and which only you can read, and "
        "public.pem, which goes to the tools. Keys that are there already are never overwritten.",
        example="waferroute keys ~/waferroute-keys",
        extra="sign",
    )
    parser.add_argument("folder", metavar="OUT", help="folder for both files")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write both keys."""
    from tool_side.bundle.sign import run_keys

    return run_keys(args.folder, json_output=args.json)
