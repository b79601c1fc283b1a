"""`waferroute service`: keys, users, migrations, backups and checks of a served data folder."""

import argparse
import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wafer_data.errors import InputError
from waferroute.cli.arguments import Commands, add_command, add_group, add_json, positive

if TYPE_CHECKING:
    from service.manage import Manager

_COMMANDS: tuple[tuple[str, str, str, str], ...] = (
    (
        "migrate",
        "bring the database to this version's schema",
        "Run the migrations that are missing, all of them or none.",
        "waferroute service migrate --data service-data",
    ),
    (
        "backup",
        "write a backup while the service runs",
        "Write a folder with the database, the journals, the images and the installation's secret. Images are hard "
        "links where the file system allows it. Treat it like the data folder: it holds password hashes.",
        "waferroute service backup --data service-data --out backup-2026-01-31",
    ),
    (
        "restore",
        "restore a backup into a new data folder",
        "Check a backup, and restore it into an empty data folder and an empty database of either kind.",
        "waferroute service restore backup-2026-01-31 --data restored",
    ),
    (
        "audit-check",
        "check the audit trail, every decision's digest, and the images",
        "Follow the audit trail's hash chain, compare each decision with its digest and the digests with their seals, "
        "and look for missing images. Exit status 1, with what is wrong, if anything is. Note the head that it prints "
        "somewhere else and give it back with --expect, to notice that the newest rows were removed.",
        "waferroute service audit-check --data service-data",
    ),
    (
        "ship",
        "carry journals of workers that do not run into the database",
        "Carry what a worker left in its journal into the database, where that worker will not be started again.",
        "waferroute service ship --data service-data",
    ),
)
_ROLES = ("inspector", "senior", "engineer", "admin", "auditor")
_SCOPES = ("inspect", "read", "escape", "engineer")


def add(commands: Commands) -> None:
    """Add the commands to the command line."""
    actions = add_group(
        commands,
        "service",
        summary='look after a served data folder: keys, users, backups, checks (needs "waferroute[serve]")',
        description="Keys of tools, users, migrations, backups and checks of a folder that `waferroute serve` keeps.",
        example="waferroute service key add --data service-data CDSEM-3",
    )
    for name, summary, description, example in _COMMANDS:
        parser = add_command(
            actions, name, run, summary=summary, description=description, example=example, extra="serve"
        )
        _add_where(parser, name)
        if name == "backup":
            parser.add_argument(
                "--out", metavar="DIR", type=Path, required=True, help="folder to write; must not exist"
            )
        if name == "restore":
            parser.add_argument("backup", metavar="BACKUP", type=Path, help="folder that `backup` wrote")
        if name == "audit-check":
            parser.add_argument("--expect", metavar="HASH", help="a head that was printed before")
            parser.add_argument("--no-images", action="store_true", help="do not look for the images' files")
    _add_keys(actions)
    _add_users(actions)


def _add_keys(actions: Commands) -> None:
    group = add_group(
        actions,
        "key",
        summary="keys of tools and programs",
        description="Make, list, rotate and revoke keys. A key is shown once, when it is made.",
        example="waferroute service key list --data service-data",
    )
    for name, summary in (
        ("add", "make a key"),
        ("list", "list all keys"),
        ("rotate", "make a key's successor; the old one ends after a while"),
        ("revoke", "end a key now"),
    ):
        word = {"add": " CDSEM-3", "list": ""}.get(name, " 1a2b3c4d")
        parser = add_command(
            group, name, run, summary=summary, description=f"{summary.capitalize()}.", extra="serve",
            example=f"waferroute service key {name} --data service-data{word}",
        )  # fmt: skip
        _add_where(parser, f"key {name}")
        if name == "add":
            parser.add_argument("name", metavar="NAME", help="of the client, for example the tool")
            parser.add_argument(
                "--scope", action="append", choices=_SCOPES,
                help="what it may do; may be repeated (default: inspect)",
            )  # fmt: skip
            parser.add_argument(
                "--tool", action="append", metavar="TOOL",
                help="only images of this tool; may be repeated (default: any)",
            )  # fmt: skip
            parser.add_argument("--days", type=positive, help="ends after so many days (default: never)")
        if name in ("rotate", "revoke"):
            parser.add_argument("key", metavar="ID", help="the eight characters after wr_")
        if name == "rotate":
            parser.add_argument(
                "--overlap", metavar="HOURS", type=positive, default=24.0,
                help="for so long the old key goes on (default: 24)",
            )  # fmt: skip


def _add_users(actions: Commands) -> None:
    group = add_group(
        actions,
        "user",
        summary="accounts of people",
        description="Make, list, change and erase accounts. A password is asked for, or read from standard input.",
        example="waferroute service user list --data service-data",
    )
    for name, summary in (
        ("add", "make an account"),
        ("list", "list all accounts"),
        ("change", "change role, password or state, and end the sessions"),
        ("erase", "erase a person's name; verdicts and the audit trail keep a number"),
    ):
        more = {"add": " anna --role inspector", "list": "", "change": " anna --inactive", "erase": " anna"}[
            name
        ]
        parser = add_command(
            group, name, run, summary=summary, description=f"{summary.capitalize()}.", extra="serve",
            example=f"waferroute service user {name} --data service-data{more}",
        )  # fmt: skip
        _add_where(parser, f"user {name}")
        if name != "list":
            parser.add_argument("name", metavar="NAME")
        if name == "add":
            parser.add_argument("--role", choices=_ROLES, required=True, help="what the account may do")
        if name == "change":
            parser.add_argument("--role", choices=_ROLES, help="what the account may do from now on")
            parser.add_argument("--password", action="store_true", help="ask for a new password")
            state = parser.add_mutually_exclusive_group()
            state.add_argument(
                "--active", dest="active", action="store_true", default=None, help="let it in again"
            )
            state.add_argument("--inactive", dest="active", action="store_false", help="let it in no more")


def _add_where(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="the service's data folder")
    parser.add_argument(
        "--database", metavar="URL", help="postgresql://USER@HOST/NAME (default: the SQLite file in DIR)"
    )
    add_json(parser)
    parser.set_defaults(what=name)


def run(args: argparse.Namespace) -> int:
    """Do it, and print what came of it."""
    from service.manage import Manager, restore_backup

    if args.what == "restore":
        found: Any = restore_backup(args.backup, args.data, args.database)
    else:
        found = _do(Manager(args.data, args.database), args)
    if args.json:
        print(json.dumps(found, indent=2))
    elif isinstance(found, list):
        for row in found:
            print("  ".join(f"{name}={value}" for name, value in row.items() if value is not None))
    else:
        for name, value in found.items():
            if not isinstance(value, dict) or len(value) <= 4:
                print(
                    f"{name}: {value if not isinstance(value, list | tuple) else ', '.join(map(str, value)) or 'none'}"
                )
    return 1 if args.what == "audit-check" and isinstance(found, dict) and found["problems"] else 0


def _do(manager: "Manager", args: argparse.Namespace) -> dict[str, Any] | list[dict[str, Any]]:
    what = args.what
    if what == "migrate":
        return manager.migrate()
    if what == "backup":
        return manager.back_up(args.out)
    if what == "audit-check":
        return manager.check(args.expect, look_at_images=not args.no_images)
    if what == "ship":
        return manager.ship()
    if what == "key add":
        return manager.add_key(args.name, args.scope or ["inspect"], args.tool, args.days)
    if what == "key list":
        return manager.keys()
    if what == "key rotate":
        return manager.rotate_key(args.key, args.overlap)
    if what == "key revoke":
        return manager.revoke_key(args.key)
    if what == "user add":
        return manager.add_user(args.name, args.role, _password())
    if what == "user list":
        return manager.users()
    if what == "user change":
        return manager.change_user(args.name, args.role, _password() if args.password else None, args.active)
    return manager.erase_user(args.name)


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise InputError("the two passwords differ")
    return password
