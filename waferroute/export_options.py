"""Options of `waferroute export` beside the bundle itself. Only the standard library is imported at once."""

import argparse
import json
import sys
from collections.abc import Callable

Action = Callable[[argparse.Namespace], int]


def add_export_options(parser: argparse.ArgumentParser, stage: Action) -> Action:
    """Add `--int8` and `--torchscript`. stage: what runs the stage. Returns what runs it with these options."""
    parser.add_argument(
        "--int8",
        action="store_true",
        help="the same as export.int8=true: 8-bit graphs where they change no decision and are faster here",
    )
    parser.add_argument(
        "--torchscript",
        metavar="DIR",
        help="also write both students for PyTorch programs into this folder; it is no part of the bundle",
    )
    return lambda args: _export(args, stage)


def _export(args: argparse.Namespace, stage: Action) -> int:
    if args.int8:
        args.overrides.append("export.int8=true")
    status = stage(args)
    if status or args.torchscript is None:
        return status
    from distill.calibration import synthetic_anomaly
    from tool_side.export.torchscript import export_torchscript
    from waferroute.config import load_config

    run_dir = load_config(args.config, args.overrides).run_dir
    found = export_torchscript(run_dir, args.torchscript, paint=synthetic_anomaly)
    said = json.dumps(found) if args.json else f"TorchScript: {args.torchscript}; {found['parity_in_words']}"
    print(said, file=sys.stderr if args.json else sys.stdout, flush=True)
    return 0
