"""`waferroute sign`: sign a bundle, so that a tool can refuse a changed one."""

import argparse

from waferroute.cli.arguments import BUNDLE, Commands, add_command, add_json


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "sign",
        run,
        summary="sign a bundle (needs the package cryptography)",
        description="Check a bundle and sign its manifest, which holds the sha256 of every other file. A tool that is "
        "given the public key then refuses the bundle if anything in it was changed, added or removed. Sign again "
        "after every change that you make yourself.",
        example="waferroute sign runs/quickstart/bundle --key ~/waferroute-keys/private.pem",
        extra="sign",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE)
    parser.add_argument(
        "--key", metavar="FILE", required=True, help="private key, as `waferroute keys` makes it"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check the bundle and sign its manifest."""
    from tool_side.bundle.sign import run_sign

    return run_sign(args.bundle, args.key, json_output=args.json)
