"""`waferroute keys` and `sign`, and the option that asks for a signature. Only the standard library is imported at
once.
"""

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_signing(commands: Commands) -> None:
    """Add `keys` and `sign` to the command line."""
    keys = commands.add_parser(
        "keys",
        help="make a key pair to sign bundles with (needs the package cryptography)",
        description="Make an ed25519 key pair: private.pem, which signs bundles and which only you can read, and "
        "public.pem, which goes to the tools. Keys that are there already are never overwritten.",
        epilog="example: waferroute keys ~/waferroute-keys",
    )
    keys.add_argument("folder", metavar="OUT", help="folder for both files")
    keys.add_argument("--json", action="store_true", help="print JSON")
    keys.set_defaults(action=_keys, help_of=keys)
    sign = commands.add_parser(
        "sign",
        help="sign a bundle (needs the package cryptography)",
        description="Check a bundle and sign its manifest, which holds the sha256 of every other file. A tool that is "
        "given the public key then refuses the bundle if anything in it was changed, added or removed. Sign again "
        "after every change that you make yourself.",
        epilog="example: waferroute sign runs/quickstart/bundle --key ~/waferroute-keys/private.pem",
    )
    sign.add_argument("bundle", metavar="BUNDLE", help="bundle folder that `waferroute export` wrote")
    sign.add_argument(
        "--key", metavar="FILE", required=True, help="private key, as `waferroute keys` makes it"
    )
    sign.add_argument("--json", action="store_true", help="print JSON")
    sign.set_defaults(action=_sign, help_of=sign)


def add_public_key(parser: argparse.ArgumentParser) -> None:
    """Add `--public-key`."""
    parser.add_argument(
        "--public-key",
        metavar="FILE",
        help="refuse the bundle unless it is signed with this key's partner (needs the package cryptography)",
    )


def _keys(args: argparse.Namespace) -> int:
    from tool_side.bundle.sign import run_keys

    return run_keys(args.folder, json_output=args.json)


def _sign(args: argparse.Namespace) -> int:
    from tool_side.bundle.sign import run_sign

    return run_sign(args.bundle, args.key, json_output=args.json)
