"""What the commands of the training side do. Imported by the command line only when one of them runs."""

import json
import shlex
import sys
import textwrap
from argparse import Namespace
from collections.abc import Sequence

from distill.config import STAGES as STUDENT_STAGES
from wafer_data.errors import InputError
from wafer_data.files import write_text
from waferroute.allocator import keep_freed_memory
from waferroute.config import RunConfig, load_config, resolved, to_yaml
from waferroute.config_fields import ConfigField, list_fields
from waferroute.pipeline import Pipeline
from waferroute.processes import is_main_process, join_processes, process_count
from waferroute.run_lock import locked
from waferroute.stages import all_stages
from waferroute.summary import as_json, print_summary


def run_all(args: Namespace) -> int:
    """`waferroute run`."""
    return _run_stages(args, None)


def run_one(args: Namespace) -> int:
    """`waferroute data`, `adapt`, `calibrate`, `evaluate` or `export`."""
    return _run_stages(args, [args.command])


def run_distill(args: Namespace) -> int:
    """`waferroute distill`: the student stages, or one of them."""
    return _run_stages(args, [args.only] if args.only else list(STUDENT_STAGES))


def show_config(args: Namespace) -> int:
    """`waferroute config show`."""
    config = load_config(args.config, args.overrides)
    if args.json:
        _print_json(resolved(config))
    else:
        sys.stdout.write(to_yaml(config))
    return 0


def list_config_fields(args: Namespace) -> int:
    """`waferroute config fields`."""
    fields = [field for field in list_fields(RunConfig) if _is_below(field.key, args.prefix)]
    if not fields:
        raise InputError(f"no key {args.prefix}; the sections are {', '.join(RunConfig.model_fields)}")
    if args.json:
        _print_json([field.__dict__ for field in fields])
    else:
        for field in fields:
            _print_field(field)
    return 0


def _run_stages(args: Namespace, names: Sequence[str] | None) -> int:
    config = load_config(args.config, args.overrides)
    keep_freed_memory()
    tail = shlex.join([args.config, *args.overrides])
    if process_count() > 1 and not (names and set(names) <= set(STUDENT_STAGES)):
        raise InputError(
            "only `waferroute distill` runs in several processes; start this command without a launcher"
        )
    if not is_main_process():
        return _work(config, names, args, tail)
    with locked(config.run_dir):
        _keep_config(config)
        return _work(config, names, args, tail)


def _work(config: RunConfig, names: Sequence[str] | None, args: Namespace, tail: str) -> int:
    pipeline = Pipeline(all_stages(tail), config, config.run_dir, processes=join_processes())
    outcomes = pipeline.run(names, force=args.force)
    if is_main_process():
        if args.json:
            _print_json(as_json(config.run_dir, outcomes))
        else:
            print_summary(config.run_dir, outcomes)
    return 0


def _keep_config(config: RunConfig) -> None:
    path, text = config.run_dir / "config.yaml", to_yaml(config)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _is_below(key: str, prefix: str | None) -> bool:
    return prefix is None or key == prefix or key.startswith(f"{prefix}.")


def _print_field(field: ConfigField) -> None:
    default = (
        "must be given" if field.required else f"default {json.dumps(field.default, ensure_ascii=False)}"
    )
    print(f"{field.key}: {field.allowed}; {default}")
    print(textwrap.fill(field.description, width=100, initial_indent="    ", subsequent_indent="    "))


def _print_json(content: object) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False))
