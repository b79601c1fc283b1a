"""`waferroute model`: the versions of a service, and which of them decides."""

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waferroute.cli.arguments import Commands, Run, add_command, add_group, add_json, positive, share

if TYPE_CHECKING:
    from service.store.database import Database
    from service.versions.folder import Registered, VersionFolder
    from service.versions.switch import Switched

_DATA = "the service's data folder; its versions lie in DIR/models"


def add(commands: Commands) -> None:
    """Add the command and its parts to the command line."""
    actions = add_group(
        commands,
        "model",
        summary="versions of a model: push, gate, shadow, canary, promote, rollback, drift",
        description="The versions of a service are sealed bundles named vae-wafer-vMAJOR.MINOR.PATCH (MAJOR: input or "
        "answer change, MINOR: a new training, PATCH: thresholds alone). A pointer says which one decides; "
        "running workers follow it between two requests.",
        example="waferroute model rollback --data service-data --reason 'misses blowholes'",
    )

    def part(name: str, run: Run, summary: str, description: str, example: str) -> argparse.ArgumentParser:
        parser = add_command(
            actions, name, run, summary=summary, description=description, example=example, extra="serve"
        )
        parser.add_argument("--data", metavar="DIR", type=Path, required=True, help=_DATA)
        parser.add_argument(
            "--public-key", metavar="FILE", type=Path, help="key that bundles must be signed with"
        )
        parser.add_argument(
            "--mlflow", metavar="URI", help="also show it in MLflow's registry (`embedded`: in DIR/models)"
        )
        add_json(parser, "print the result as JSON on standard output")
        return parser

    push = part(
        "push", _push, "make a bundle a version",
        "Verify a bundle and copy it into the versions. The same bundle pushed again keeps its version.",
        "waferroute model push runs/second/bundle --data service-data",
    )  # fmt: skip
    push.add_argument(
        "bundle", metavar="BUNDLE", type=Path, help="bundle folder, verified before it is copied"
    )
    push.add_argument(
        "--name", metavar="VERSION", help="default: the newest version's, raised by what changed"
    )
    push.add_argument(
        "--run", metavar="RUN", type=Path, help="the run that made it: report and provenance go along"
    )
    part(
        "list", _list, "all versions", "All versions, which of them decides, and what their gates said.",
        "waferroute model list --data service-data",
    )  # fmt: skip
    show = part(
        "show", _show, "one version, or the history of switches",
        "Everything known of a version; without VERSION the history of switches: who, when and why.",
        "waferroute model show v1.1.0 --data service-data",
    )  # fmt: skip
    show.add_argument("version", metavar="VERSION", nargs="?")
    gate = part(
        "gate", _gate, "may a version go on? Asked on a frozen set",
        "Inspect a frozen test set and the defects of earlier times with a version and with the one in use, and keep "
        "what the gate says. A version whose gate failed cannot be promoted. Exit status 1 if it does not pass.",
        "waferroute model gate v1.1.0 frozen-set --data service-data",
    )  # fmt: skip
    gate.add_argument("version", metavar="VERSION")
    gate.add_argument(
        "sets", metavar="FOLDER", nargs="+", type=Path, help="good/ and a folder for each defect type"
    )
    gate.add_argument(
        "--set", metavar="KEY=NUMBER", action="append", default=[], type=_threshold, dest="thresholds",
        help="a threshold that is not at its default, for example escape=0.01",
    )  # fmt: skip
    gate.add_argument(
        "--page", metavar="FILE", type=Path, help="also write a page with each lost defect's picture"
    )
    promote = part(
        "promote", _promote, "let a version decide, on every worker or on none",
        "Try the version in a process of its own, let it decide, and wait until every live worker follows. If one "
        "cannot, all go back.",
        "waferroute model promote v1.1.0 --data service-data --reason 'passed its canary'",
    )  # fmt: skip
    promote.add_argument("version", metavar="VERSION")
    rollback = part(
        "rollback", _rollback, "end the canary, or go back to the version before",
        "One command, no network and no database: the pointer goes back, and the command waits until every live worker "
        "follows. Exit status 2 if one does not within 30 s.",
        "waferroute model rollback --data service-data --reason 'misses blowholes'",
    )  # fmt: skip
    for parser in (promote, rollback):
        parser.add_argument(
            "--reason", metavar="TEXT", required=parser is rollback, default="promoted", help="why"
        )
        parser.add_argument(
            "--by", metavar="NAME", default="command line", help="who (default: command line)"
        )
    shadow = part(
        "shadow",
        _shadow,
        "let a version score beside production, deciding nothing",
        "The version scores what production decides; under load its work is dropped first. Without VERSION the "
        "differences so far are shown: decisions, layers, tools, the share of images compared. --stop ends it.",
        "waferroute model shadow v1.1.0 --data service-data",
    )
    shadow.add_argument("version", metavar="VERSION", nargs="?")
    shadow.add_argument("--stop", action="store_true", help="end the shadow")
    canary = part(
        "canary",
        _canary,
        "let a version decide a share of wafers for some days",
        "Whole wafers go to the version, drawn by a hash of their ids, so that no wafer is decided by two versions. "
        "Guardrails look all the time and take it back by themselves; rates are compared once, at the end. Without "
        "VERSION the running canary is looked at.",
        "waferroute model canary v1.1.0 --share 0.1 --days 7 --data service-data",
    )
    canary.add_argument("version", metavar="VERSION", nargs="?")
    canary.add_argument("--share", metavar="SHARE", type=share, default=0.1, help="of wafers (default: 0.1)")
    canary.add_argument(
        "--days", metavar="DAYS", type=positive, default=7.0, help="until the end (default: 7)"
    )
    canary.add_argument(
        "--promote", action="store_true", help="promote at the end if nothing speaks against it"
    )
    drift = part(
        "drift",
        _drift,
        "has something changed since this version was trained?",
        "Compare each tool's, layer's and recipe's wafers of the last day, week and four weeks with its first ones "
        "under the version in use. Exit status 1 if something has drifted. --accept makes what is seen now the usual: "
        "for a lamp that was changed for good.",
        "waferroute model drift --data service-data",
    )
    drift.add_argument(
        "--accept",
        metavar="WHERE",
        help="tool=NAME, layer=NAME, recipe=NAME, with commas between, or everywhere",
    )
    drift.add_argument("--reason", metavar="TEXT", help="why it is accepted; needed with --accept")
    for parser in (shadow, canary, drift):
        parser.add_argument(
            "--database", metavar="URL", help="of the service (default: the SQLite file in DIR)"
        )
    canary.add_argument("--reason", metavar="TEXT", default="canary", help="why")
    canary.add_argument("--by", metavar="NAME", default="command line", help="who (default: command line)")
    archive = part(
        "archive", _archive, "take a version out of use for good",
        "An archived version is not loaded and cannot be promoted; its files stay.",
        "waferroute model archive v1.0.0 --data service-data",
    )  # fmt: skip
    archive.add_argument("version", metavar="VERSION")


def _folder(args: argparse.Namespace) -> "VersionFolder":
    from service.versions.folder import versions_in

    return versions_in(args.data, args.public_key)


def _finish(args: argparse.Namespace, folder: "VersionFolder", found: Any, text: str) -> int:
    """Mirror into MLflow where asked, then print. The registry is never in the way of what was done already."""
    if args.mlflow:
        from lifecycle.registry.mlflow_registry import mirror
        from wafer_data.errors import InputError

        try:
            mirror(folder, None if args.mlflow == "embedded" else args.mlflow)
        except InputError as error:
            print(f"warning: done, but not shown in the registry: {error}", file=sys.stderr)
    print(json.dumps(found, indent=2, ensure_ascii=False) if args.json else text)
    return 0


def _push(args: argparse.Namespace) -> int:
    from lifecycle.registry.provenance import about_run
    from service.versions.folder import VersionFolder

    folder = VersionFolder(args.data / "models", args.public_key)  # the first version makes it
    about = about_run(args.run, args.bundle)
    version = folder.push(args.bundle, name=args.name, about=about)
    return _finish(args, folder, asdict(version), f"{version.name}: {_state(folder, version)}")


def _list(args: argparse.Namespace) -> int:
    folder = _folder(args)
    versions = folder.versions()
    rows = [{**asdict(version), "use": _state(folder, version)} for version in versions]
    lines = [f"{v.name:<22} {_state(folder, v):<12} {_gate_word(v):<14} bundle {v.bundle}" for v in versions]
    return _finish(
        args, folder, rows, "\n".join(lines) or "no version yet: waferroute model push BUNDLE --data DIR"
    )


def _show(args: argparse.Namespace) -> int:
    folder = _folder(args)
    if args.version is None:
        history = [asdict(line) for line in folder.history()]
        lines = [f"{h['seq']:>4} {h['champion']:<22} by {h['by']}: {h['reason']}" for h in history]
        return _finish(args, folder, history, "\n".join(lines) or "nothing is in use yet")
    version = folder.get(args.version)
    found = {**asdict(version), "use": _state(folder, version), "path": str(folder.bundle(version.name))}
    return _finish(args, folder, found, json.dumps(found, indent=2, ensure_ascii=False))


def _gate(args: argparse.Namespace) -> int:
    from dataclasses import fields

    from lifecycle.gate.gate import Thresholds, run_gate
    from lifecycle.gate.scored import labelled_images

    known = {one.name for one in fields(Thresholds)}
    for name, _ in args.thresholds:
        if name not in known:
            args.help_of.error(f"no threshold is called {name}; there are {', '.join(sorted(known))}")
    folder = _folder(args)
    version, pointer = folder.get(args.version), folder.pointer()
    production = pointer.champion if pointer and pointer.champion != version.name else None
    thresholds = Thresholds(**{name: int(v) if name == "regressions" else v for name, v in args.thresholds})
    images = labelled_images(*args.sets)
    report = run_gate(
        folder.bundle(version.name), folder.bundle(production) if production else None, images, thresholds
    )
    found = {**report.to_dict(), "against": production, "thresholds": asdict(thresholds)}
    folder.set_gate(version.name, found)
    if args.page is not None:
        from lifecycle.gate.page import render_gate
        from wafer_data.files import write_text

        write_text(args.page, render_gate(found, version.name, {image.name: image.path for image in images}))
    word = "passed" if report.passed else "did not pass"
    lines = [f"{version.name} {word} its gate on {len(images)} images", *(f"- {r}" for r in report.reasons)]
    lines += [f"- missed by it, found by {production}: {name}" for name in report.regressions]
    _finish(args, folder, found, "\n".join(lines))
    return 0 if report.passed else 1


def _promote(args: argparse.Namespace) -> int:
    from service.versions.switch import promote

    folder = _folder(args)
    if folder.get(args.version).gate is None and folder.pointer() is not None:
        print(f"warning: no gate has looked at {args.version}: waferroute model gate", file=sys.stderr)
    return _switched(args, folder, promote(folder, args.version, by=args.by, reason=args.reason))


def _rollback(args: argparse.Namespace) -> int:
    from service.versions.switch import rollback

    folder = _folder(args)
    return _switched(args, folder, rollback(folder, by=args.by, reason=args.reason))


def _switched(args: argparse.Namespace, folder: "VersionFolder", done: "Switched") -> int:
    found = {**asdict(done.pointer), "seconds": round(done.seconds, 3)}
    return _finish(
        args,
        folder,
        found,
        f"{done.pointer.champion} decides; every live worker followed in {done.seconds:.2f} s",
    )


def _database(args: argparse.Namespace) -> "Database":
    from service.store.database import existing_database

    return existing_database(args.data, args.database)


def _shadow(args: argparse.Namespace) -> int:
    from lifecycle.conductor.differences import differences
    from lifecycle.conductor.shadow import shadow_of, start_shadow, stop_shadow
    from wafer_data.errors import InputError

    folder = _folder(args)
    if args.stop:
        stop_shadow(folder)
        return _finish(args, folder, {"shadow": None}, "no version scores beside production now")
    if args.version is not None:
        name = start_shadow(folder, args.version)
        return _finish(args, folder, {"shadow": name}, f"{name} scores beside production")
    running = shadow_of(folder.path)
    if running is None:
        raise InputError("no version scores beside production: waferroute model shadow VERSION --data DIR")
    found = differences(_database(args), running[0], running[1])
    share = (
        "nothing inspected yet"
        if found["share"] is None
        else f"{found['share']:.1%} of {found['inspected']} images"
    )
    lines = [f"{running[0]}: compared {share}", "production -> shadow:"]
    lines += [f"  {a} -> {b}: {n}" for a, row in found["confusion"].items() for b, n in row.items()]
    for one in found["images"][:10]:
        lines.append(f"  wafer {one['wafer_id']} point {one['point']}: {one['decision']} -> {one['other']}")
    return _finish(args, folder, found, "\n".join(lines))


def _canary(args: argparse.Namespace) -> int:
    from lifecycle.conductor.canary import look, start_canary
    from tool_side.agent.trial import try_bundle
    from wafer_data.errors import InputError

    folder = _folder(args)
    if args.version is None:
        judged = look(_database(args), folder)
        if judged is None:
            raise InputError("no canary is running: waferroute model canary VERSION --data DIR")
        return _finish(args, folder, asdict(judged), f"{judged.action}: {judged.text}\n{judged.misses.text}")
    version = folder.get(args.version)
    problem = try_bundle(folder.bundle(version.name), folder.public_key)
    if problem is not None:
        raise InputError(f"{version.name} cannot be a canary: {problem}")
    pointer = start_canary(
        folder,
        version.name,
        share=args.share,
        days=args.days,
        by=args.by,
        reason=args.reason,
        promote=args.promote,
    )
    seconds, waiting = folder.wait(pointer.seq)
    text = f"{version.name} decides {args.share:.0%} of wafers for {args.days:g} days"
    if waiting:
        text += f"; these workers do not follow: {waiting}"
    return _finish(args, folder, {**asdict(pointer), "seconds": round(seconds, 3), "waiting": waiting}, text)


def _drift(args: argparse.Namespace) -> int:
    from lifecycle.conductor.drift import check_drift
    from lifecycle.conductor.drift_accepted import accept_drift, read_where
    from service.versions.follow import first_version

    folder = _folder(args)
    version, _ = first_version(folder)
    if args.accept is not None:
        if not args.reason:
            args.help_of.error("--accept needs --reason: whoever reads it later wants to know why")
        done = accept_drift(_database(args), version.name, read_where(args.accept), args.reason)
        return _finish(args, folder, asdict(done), f"{args.accept}: what comes from now on is the new usual")
    found = check_drift(_database(args), version.name, version.inspector)
    text = "\n".join(alarm.text for alarm in found) or "nothing has drifted, as far as can be told"
    _finish(args, folder, [asdict(alarm) for alarm in found], text)
    return 1 if found else 0


def _archive(args: argparse.Namespace) -> int:
    folder = _folder(args)
    version = folder.archive(args.version)
    return _finish(args, folder, asdict(version), f"{version.name} is archived")


def _state(folder: "VersionFolder", version: "Registered") -> str:
    pointer = folder.pointer()
    if pointer is not None and version.name == pointer.champion:
        return "decides"
    if pointer is not None and pointer.canary is not None and version.name == pointer.canary.version:
        return f"canary {pointer.canary.share:.0%}"
    return "warm" if version.name in folder.warm() else version.state


def _gate_word(version: "Registered") -> str:
    return (
        "no gate" if version.gate is None else "gate passed" if version.gate.get("passed") else "gate failed"
    )


def _threshold(text: str) -> tuple[str, float]:
    key, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text} is not KEY=NUMBER")
    return key, number
