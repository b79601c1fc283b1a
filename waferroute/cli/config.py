"""`waferroute config`: show a configuration, or document its keys."""

import argparse
import json
import sys
import textwrap
from typing import TYPE_CHECKING

from wafer_data.errors import InputError
from waferroute.cli.arguments import Commands, add_command, add_config, add_group, add_json

if TYPE_CHECKING:
    from waferroute.config_fields import ConfigField


def add(commands: Commands) -> None:
    """Add the command with its `show` and `fields` to the command line."""
    actions = add_group(
        commands,
        "config",
        summary="show a configuration, or document its keys",
        description="Show a resolved configuration, or document its keys.",
        example="waferroute config show configs/quickstart.yaml run.seed=1",
    )
    show = add_command(
        actions,
        "show",
        run_show,
        summary="print the resolved configuration",
        description="Check a configuration and print it with all defaults and overrides filled in.",
        example="waferroute config show configs/quickstart.yaml distill.full.epochs=4",
    )
    add_config(show)
    add_json(show, "print JSON instead of YAML")
    fields = add_command(
        actions,
        "fields",
        run_fields,
        summary="document the keys",
        description="List the keys with what each takes, its default and what it does: those that people set, or "
        "with --all every one.",
        example="waferroute config fields distill.full",
    )
    fields.add_argument("prefix", metavar="SECTION", nargs="?", help="only the keys of this section")
    fields.add_argument("--all", action="store_true", help="the keys for studies too, whose defaults fit")
    add_json(fields)


def run_show(args: argparse.Namespace) -> int:
    """Print the resolved configuration."""
    from waferroute.config import load_config, resolved, to_yaml

    config = load_config(args.config, args.overrides)
    if args.json:
        print(json.dumps(resolved(config), indent=2, ensure_ascii=False))
    else:
        sys.stdout.write(to_yaml(config))
    return 0


def run_fields(args: argparse.Namespace) -> int:
    """Print the keys."""
    from waferroute.common_keys import is_common
    from waferroute.config import RunConfig
    from waferroute.config_fields import list_fields
    from waferroute.fixed_values import reason_for

    below = [field for field in list_fields(RunConfig) if _is_below(field.key, args.prefix)]
    found = [field for field in below if reason_for(field.key) is None]
    if below and not found:
        raise InputError(f"{args.prefix} is no setting: it is always the same ({reason_for(below[0].key)})")
    if not found:
        raise InputError(f"no key {args.prefix}; the sections are {', '.join(RunConfig.model_fields)}")
    common = [field for field in found if is_common(field.key)]
    fields = found if args.all or not common else common
    if len(fields) < len(found):
        print(f"{len(fields)} of {len(found)} keys; --all shows the others too", file=sys.stderr)
    if args.json:
        print(json.dumps([field.__dict__ for field in fields], indent=2, ensure_ascii=False))
    else:
        for field in fields:
            _print_field(field)
    return 0


def _is_below(key: str, prefix: str | None) -> bool:
    return prefix is None or key == prefix or key.startswith(f"{prefix}.")


def _print_field(field: "ConfigField") -> None:
    default = (
        "must be given" if field.required else f"default {json.dumps(field.default, ensure_ascii=False)}"
    )
    print(f"{field.key}: {field.allowed}; {default}")
    print(textwrap.fill(field.description, width=100, initial_indent="    ", subsequent_indent="    "))
