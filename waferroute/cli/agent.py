"""`waferroute agent`: keep a tool at the version meant for it."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from wafer_data.errors import InputError
from waferroute.cli.arguments import Commands, add_command, add_json, seconds


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "agent",
        run,
        summary="keep a tool at the version meant for it (needs no training side)",
        description="Ask the server which version is meant for this tool, fetch it, check its signature and every "
        "file, try it in a process of its own, switch to it, and report. If anything is wrong the tool goes on with "
        "what it has. What inspects on the tool reads DIR/current/bundle. With --from-folder a bundle is taken from "
        "a USB stick with the same checks and no network. Exit status 2 if --once or --from-folder changed nothing "
        "because something is wrong.",
        example="waferroute agent https://inspection.fab --tool AOI-03 --data /var/lib/waferroute --key key.txt "
        "--public-key public.pem",
        extra="sign",
    )
    parser.add_argument("server", metavar="SERVER", nargs="?", help="address of the service")
    parser.add_argument("--tool", metavar="ID", help="id of this tool")
    parser.add_argument("--layer", metavar="NAME", default="", help="the layer that this tool inspects")
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="folder of the two slots")
    parser.add_argument("--key", metavar="FILE", type=Path, help="file with the tool's key for the service")
    parser.add_argument(
        "--public-key", metavar="FILE", required=True, help="key that every bundle must be signed with"
    )
    parser.add_argument("--ca", metavar="FILE", help="the site's certificate authority, for https")
    parser.add_argument("--from-folder", metavar="DIR", type=Path, help="take this bundle; asks no server")
    parser.add_argument("--once", action="store_true", help="ask once and end")
    parser.add_argument(
        "--poll", metavar="SECONDS", type=seconds, default=60.0, help="time between questions (default: 60)"
    )
    add_json(parser, "print how the round went as JSON (with --once or --from-folder)")


def run(args: argparse.Namespace) -> int:
    """Follow the server, or take one bundle."""
    from tool_side.agent.agent import Agent, follow
    from tool_side.agent.slots import Slots
    from tool_side.agent.sources import Server

    slots = Slots(args.data, args.public_key)
    if args.from_folder is not None:
        return _said(args, asdict(Agent(slots, None).install_folder(args.from_folder)))
    if args.server is None or args.tool is None or args.key is None:
        args.help_of.error("give SERVER, --tool and --key, or --from-folder")
    try:
        key = args.key.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{args.key} cannot be read as a key ({error})") from error
    if not key.isprintable() or not key:
        raise InputError(f"{args.key} is no key: it holds one line, which begins with wr_")
    agent = Agent(slots, Server(args.server, args.tool, key, layer=args.layer, ca=args.ca))
    if args.once:
        return _said(args, asdict(agent.round()))
    follow(agent, args.poll)
    return 0


def _said(args: argparse.Namespace, found: dict[str, object]) -> int:
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print(f"{found['version'] or 'no version yet'}{' (new)' if found['switched'] else ''}")
    if found["problem"]:
        raise InputError(str(found["problem"]))
    return 0
