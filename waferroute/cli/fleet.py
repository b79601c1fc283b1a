"""`waferroute fleet`: versions on their way to the tools."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from waferroute.cli.arguments import Commands, Run, add_command, add_group, add_json, add_public_key, pause

if TYPE_CHECKING:
    from service.fleet.plan import FleetPlan


def add(commands: Commands) -> None:
    """Add the commands to the command line."""
    actions = add_group(
        commands,
        "fleet",
        summary="bring a version to the tools in stages of 1, 10 and 100 %%",
        description="Which version is meant for which tool. Tools ask for it with `waferroute agent`; a tool that "
        "reports a failure halts the rollout.",
        example="waferroute fleet start v1.2.0 --data service-data",
    )

    def part(name: str, run: Run, summary: str, description: str, example: str) -> argparse.ArgumentParser:
        parser = add_command(
            actions, name, run, summary=summary, description=description, example=example, extra="serve"
        )
        parser.add_argument(
            "--data", metavar="DIR", type=Path, required=True, help="data folder of the service"
        )
        add_json(parser, "print the result as JSON on standard output")
        return parser

    start = part(
        "start", _start, "begin a rollout",
        "Check that a version is signed, runs, and did not fail its gate; then let 1 % of the tools have it, later 10 "
        "and 100 %, each once every tool of the stage before is healthy and its time is over.",
        "waferroute fleet start v1.2.0 --data service-data --tools 'AOI-*' --layers M1",
    )  # fmt: skip
    start.add_argument("version", metavar="VERSION")
    start.add_argument(
        "--tools", metavar="PATTERN", default="*", help="only tools whose id fits (default: *)"
    )
    start.add_argument("--layers", metavar="PATTERN", default="*", help="only these layers (default: *)")
    start.add_argument(
        "--soak",
        metavar="SECONDS",
        type=pause,
        default=3600.0,
        help="shortest time of a stage (default: 3600)",
    )
    start.add_argument("--by", metavar="NAME", default="command line", help="who (default: command line)")
    add_public_key(start)
    part(
        "show", _show, "rollouts and tools", "All rollouts with their stage, and what each tool said last.",
        "waferroute fleet show --data service-data",
    )  # fmt: skip
    halt = part(
        "halt", _halt, "take a rollout back",
        "The tools of a rollout are meant to have what they had before; they take it up when they ask next.",
        "waferroute fleet halt vae-wafer-v1.2.0-3 --data service-data --reason 'misses blowholes'",
    )  # fmt: skip
    halt.add_argument("rollout", metavar="ROLLOUT")
    halt.add_argument("--reason", metavar="TEXT", required=True, help="why")


def _start(args: argparse.Namespace) -> int:
    from lifecycle.fleet.start import start_rollout
    from service.fleet.plan import to_dict
    from service.versions.folder import versions_in

    rollout = start_rollout(
        versions_in(args.data, args.public_key),
        args.version,
        by=args.by,
        tools=args.tools,
        layers=args.layers,
        soak_s=args.soak,
    )
    return _print(args, to_dict(rollout), f"{rollout.id}: on its way to 1 % of the tools")


def _show(args: argparse.Namespace) -> int:
    from service.fleet.plan import STAGES, to_dict

    plan = _plan(args)
    rollouts, tools = plan.rollouts(), plan.tools()
    lines = [
        f"{r.id:<26} {r.state:<8} {STAGES[r.stage]:.0%} of {r.tools} {r.layers} {r.reason}".rstrip()
        for r in rollouts
    ]
    lines += [f"{t.tool:<20} {t.version or 'nothing yet':<22} {t.problem or 'healthy'}" for t in tools]
    found = {"rollouts": [to_dict(r) for r in rollouts], "tools": [asdict(t) for t in tools]}
    return _print(args, found, "\n".join(lines) or "no rollout and no tool yet")


def _halt(args: argparse.Namespace) -> int:
    from service.fleet.plan import to_dict

    rollout = _plan(args).halt(args.rollout, args.reason)
    return _print(args, to_dict(rollout), f"{rollout.id}: halted")


def _plan(args: argparse.Namespace) -> "FleetPlan":
    from service.fleet.plan import FleetPlan
    from service.versions.folder import versions_in

    return FleetPlan(versions_in(args.data).path / "fleet")


def _print(args: argparse.Namespace, found: object, text: str) -> int:
    print(json.dumps(found, indent=2, ensure_ascii=False) if args.json else text)
    return 0
