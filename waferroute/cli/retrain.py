"""`waferroute retrain`: from three months of images to a new version that scores beside production."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from waferroute.cli.arguments import Commands, add_command, add_json

if TYPE_CHECKING:
    from lifecycle.retraining.config import RetrainingConfig
    from lifecycle.retraining.due import Due

_STEPS = ("extract", "validate", "train", "evaluate", "gate", "register", "shadow")


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "retrain",
        run,
        summary="learn from the service's images and verdicts: a new version, gated and in shadow",
        description="Seven steps: extract three months of validated PASS images and people's new labels, validate "
        "them, train (waferroute run), evaluate beside production, ask the gate, register, let it score in shadow. "
        "A step that is done is skipped; killed at any moment, the same command goes on. A candidate that does not "
        "pass its gate is not registered, and every defect that it lost is named. Exit status 1: the gate said no.",
        example="waferroute retrain deploy/retraining/retraining.yaml",
    )
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="settings; deploy/retraining/retraining.yaml explains them all",
    )
    parser.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        default=[],
        help="settings that replace those of the file",
    )
    parser.set_defaults(takes_more="overrides")
    parser.add_argument(
        "--step", metavar="STEP", choices=_STEPS, help=f"do one step alone: {', '.join(_STEPS)}"
    )
    parser.add_argument(
        "--id",
        metavar="NAME",
        help="which retraining (default: the newest that is not complete, or a new one)",
    )
    parser.add_argument(
        "--new", action="store_true", help="begin a new one, although the last is not complete"
    )
    parser.add_argument(
        "--if-due",
        action="store_true",
        help="only if it is due: the 1st of the month, or drift where due.on_drift says train; for a daily timer",
    )
    parser.add_argument("--due", action="store_true", help="only say whether one is due, and do nothing")
    parser.add_argument("--list", action="store_true", help="list the retrainings so far")
    parser.add_argument("--force", action="store_true", help="do the steps again even if nothing changed")
    add_json(parser, "print the result as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Retrain, and print what became of it."""
    from lifecycle.retraining.plan import begin
    from waferroute.retraining import ask_if_due, choose_plan, load_retraining, retrain, summary, tail_of

    config = load_retraining(args.config, args.overrides)
    if args.list:
        return _list(args, config)
    if args.due or args.if_due:
        found = ask_if_due(config)
        if args.due or found is None or not found.start:
            return _say_due(args, found)
        plan = begin(config, found.id, found.trigger, found.why)
    else:
        plan = choose_plan(config, args.id, new=args.new)
    names = None if args.step is None else [args.step]
    tail = tail_of(args.config, args.overrides, plan)
    outcomes, said = retrain(config, plan, tail, names, force=args.force)
    content = summary(plan, outcomes, said)
    if args.json:
        print(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print(content, args.step)
    return 0 if said is None or said["passed"] else 1


def _say_due(args: argparse.Namespace, found: "Due | None") -> int:
    from dataclasses import asdict

    if args.json:
        print(json.dumps({"due": found is not None, **(asdict(found) if found else {})}, indent=2))
    elif found is None:
        print("no retraining is due")
    elif found.start:
        print(f"a retraining is due: {found.why}")
    else:
        print(
            f"a retraining is asked for: {found.why}\n"
            f"a person starts it: waferroute retrain {args.config} --id {found.id}"
        )
    return 0


def _list(args: argparse.Namespace, config: "RetrainingConfig") -> int:
    from lifecycle.retraining.plan import all_plans
    from waferroute.retraining import is_complete, state_of

    rows = [
        {"id": p.id, "trigger": p.trigger, "why": p.why, "complete": is_complete(p), "state": state_of(p)}
        for p in all_plans(config)
    ]
    lines = [f"{row['id']:<30} {row['trigger']:<8} {row['state']}" for row in rows]
    print(
        json.dumps(rows, indent=2, ensure_ascii=False)
        if args.json
        else "\n".join(lines) or "no retraining yet"
    )
    return 0


def _print(content: dict[str, Any], step: str | None) -> None:
    print(f"retraining {content['id']} ({content['why']})")
    for one in content["steps"]:
        print(f"  {one['step']:<10} {one['status']:<8} {one['seconds']:.1f} s")
    if "images" in content and step in (None, "extract"):
        counts = content["images"]["counts"]
        learned, old = sum(counts["learned_defects"].values()), sum(counts["regression"].values())
        print(
            f"images: {counts['normal']} normal and {learned} defects to learn from; "
            f"{old} old defects to be found again"
        )
        for reason, number in content["images"]["left_out"].items():
            print(f"  left out, {reason}: {number}")
    if "gate" in content:
        gate = content["gate"]
        print(f"gate: {'passed' if gate['passed'] else 'did not pass'}; page: {gate['page']}")
        for reason in gate["reasons"]:
            print(f"  - {reason}")
        for name in gate["regressions"]:
            print(f"  - missed by it, found by {content['production']}: {name}")
    if "version" in content and step in (None, "shadow"):
        print(
            f"{content['version']} scores beside production; next: waferroute model shadow, "
            "then waferroute model canary"
        )
