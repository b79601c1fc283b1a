"""`waferroute export --triton DIR`: where the bundle comes from. Only the standard library is imported at once."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from wafer_data.errors import InputError

_CONFIG = (
    "a YAML file, for example configs/quickstart.yaml; with --triton also a bundle or a finished run's folder, which "
    "needs no training side (default with --triton: the folder you are in)"
)


def add_triton_options(parser: argparse.ArgumentParser, stage: Callable[[argparse.Namespace], int]) -> None:
    """Let the parser of `waferroute export` also write a Triton model repository. stage: what runs the stage."""
    config = next(action for action in parser._actions if action.dest == "config")
    config.nargs, config.help = "?", _CONFIG
    group = parser.add_argument_group("serving with NVIDIA's Triton Inference Server")
    group.add_argument(
        "--triton", metavar="DIR", help="also write a model repository for Triton into this folder"
    )
    group.add_argument(
        "--triton-backend",
        choices=("onnxruntime", "python"),
        default="onnxruntime",
        help="what runs the graphs in the server: its ONNX Runtime backend, or its Python backend where that one is "
        "missing (default: onnxruntime)",
    )
    group.add_argument(
        "--triton-prefix",
        metavar="NAME",
        default="",
        help="put before the models' names lowres, full and routed, to serve several bundles from one server",
    )
    parser.set_defaults(action=lambda args: _export(args, stage))


def _export(args: argparse.Namespace, stage: Callable[[argparse.Namespace], int]) -> int:
    if args.triton is None:
        if args.config is None:
            args.help_of.error("the following arguments are required: CONFIG")
        return stage(args)
    folder = Path(args.config or ".")
    if args.config is not None and not folder.is_dir():
        status = stage(args)
        return status or _write(args, _run_folder(args) / "bundle", sys.stderr if args.json else sys.stdout)
    given = [f"--{name}" for name in ("force", "int8", "torchscript") if getattr(args, name, None)]
    if args.overrides or given:
        args.help_of.error(f"{(args.overrides + given)[0]} goes with a configuration, not with a folder")
    return _write(args, _bundle_in(folder), sys.stdout)


def _bundle_in(folder: Path) -> Path:
    for bundle in (folder, folder / "bundle"):
        if (bundle / "manifest.json").is_file():
            return bundle
    raise InputError(
        f"{folder.resolve()} is neither a bundle nor a finished run: name one, or a configuration, as in "
        "waferroute export runs/quickstart --triton DIR"
    )


def _run_folder(args: argparse.Namespace) -> Path:
    from waferroute.config import load_config

    return load_config(args.config, args.overrides).run_dir


def _write(args: argparse.Namespace, bundle: Path, out: TextIO) -> int:
    from tool_side.triton.repository import export_triton

    names = export_triton(bundle, args.triton, backend=args.triton_backend, prefix=args.triton_prefix)
    found = {"bundle": str(bundle), "triton": args.triton, "backend": args.triton_backend, "models": names}
    said = json.dumps(found) if args.json else f"Triton model repository {args.triton}: {', '.join(names)}"
    print(said, file=out, flush=True)
    return 0
