"""`waferroute export`: the bundle for the tool, and further forms of it."""

import argparse
import json
import sys
from pathlib import Path
from typing import TextIO

from wafer_data.errors import InputError
from waferroute.cli.arguments import Commands
from waferroute.cli.stage_command import add_stage_command, run_stages

_CONFIG = (
    "a YAML file, or the name of a ready-made configuration (quickstart, mvtec, folder); "
    "with --triton also a bundle or a finished run's folder, which "
    "needs no training side (default with --triton: the folder you are in)"
)


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_stage_command(
        commands,
        "export",
        run,
        summary="write the bundle for the tool",
        description="Write the bundle: the students as ONNX graphs, the policy, the certificate and a manifest.",
    )
    config = next(action for action in parser._actions if action.dest == "config")
    config.nargs, config.help = "?", _CONFIG
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


def run(args: argparse.Namespace) -> int:
    """Write the bundle, and what the options ask for beside it."""
    if args.triton is None and args.config is None:
        args.help_of.error("the following arguments are required: CONFIG")
    folder = Path(args.config or ".")
    if args.triton is not None and (args.config is None or folder.is_dir()):
        given = [f"--{name}" for name in ("force", "int8", "torchscript") if getattr(args, name)]
        if args.overrides or given:
            args.help_of.error(f"{(args.overrides + given)[0]} goes with a configuration, not with a folder")
        return _write_triton(args, _bundle_in(folder), sys.stdout)
    status = _export(args)
    if status == 0 and args.triton is not None:
        status = _write_triton(args, _run_folder(args) / "bundle", sys.stderr if args.json else sys.stdout)
    return status


def _export(args: argparse.Namespace) -> int:
    if args.int8:
        args.overrides.append("export.int8=true")
    status = run_stages(args, ["export"])
    if status or args.torchscript is None:
        return status
    from distill.calibration import synthetic_anomaly
    from tool_side.export.torchscript import export_torchscript

    found = export_torchscript(_run_folder(args), args.torchscript, paint=synthetic_anomaly)
    said = json.dumps(found) if args.json else f"TorchScript: {args.torchscript}; {found['parity_in_words']}"
    print(said, file=sys.stderr if args.json else sys.stdout, flush=True)
    return 0


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


def _write_triton(args: argparse.Namespace, bundle: Path, out: TextIO) -> int:
    from tool_side.triton.repository import export_triton

    names = export_triton(bundle, args.triton, backend=args.triton_backend, prefix=args.triton_prefix)
    found = {"bundle": str(bundle), "triton": args.triton, "backend": args.triton_backend, "models": names}
    said = json.dumps(found) if args.json else f"Triton model repository {args.triton}: {', '.join(names)}"
    print(said, file=out, flush=True)
    return 0
