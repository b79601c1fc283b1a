"""`waferroute micrographs`: a folder of synthetic images."""

import json
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wafer_data.errors import InputError
from waferroute.cli.arguments import Commands, add_command, add_json

if TYPE_CHECKING:
    from wafer_data.micrograph import MicrographConfig


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "micrographs",
        run,
        summary="make synthetic wafer images with known defects, to try the program out",
        description="Write a folder of SYNTHETIC electron-microscope-like images in MVTec layout, with five known "
        "and two novel defect types and exact masks. They show no real wafer: figures measured on them say "
        "nothing about real defects.",
        example="waferroute micrographs synthetic_contacts --layout contacts --normal 500, then "
        "waferroute run configs/mvtec.yaml data.root=synthetic_contacts run.dir=runs/synthetic",
    )
    parser.add_argument("directory", metavar="DIR", help="folder to write; must not exist, or be empty")
    counts = (
        ("--normal", 1000, "images without defect to train on"),
        ("--test-normal", 300, "images without defect to test on"),
        ("--defects-per-type", 40, "test images of each of the five known defect types"),
        ("--novel-per-type", 30, "test images of each of the two novel defect types"),
    )
    for option, default, about in counts:
        parser.add_argument(
            option, metavar="N", type=int, default=default, help=f"{about} (default: {default})"
        )
    parser.add_argument("--size", metavar="PIXELS", type=int, default=256, help="side (default: 256)")
    parser.add_argument(
        "--layout", choices=("line_space", "contacts", "logic"), default="line_space", help="the pattern"
    )
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="bits a pixel (default: 8)")
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="another seed, other images (default: 0)"
    )
    add_json(parser, "print the summary as JSON on standard output")


def run(args: Namespace) -> int:
    """Write the images and say what was written."""
    from wafer_data.micrograph import default_counts, write_micrographs

    manifest = write_micrographs(
        _config(args.size, args.layout),
        args.directory,
        normal=args.normal,
        test_normal=args.test_normal,
        per_type=default_counts(args.defects_per_type, args.novel_per_type),
        bits=args.bits,
        seed=args.seed,
    )
    summary = summarise(manifest, args.directory)
    print(json.dumps(summary, indent=2, ensure_ascii=False) if args.json else _as_text(summary))
    return 0


def summarise(manifest: Mapping[str, Any], directory: str) -> dict[str, Any]:
    """What was made, for programs: the counts, and for each defect type the range of area and contrast."""
    from wafer_data.micrograph.dataset import MANIFEST

    per_type: dict[str, dict[str, Any]] = {}
    for name, images in manifest["counts"]["test_defects"].items():
        lines = [line for line in manifest["defects"] if line["type"] == name]
        areas = [line["area_px"] for line in lines]
        contrasts = [line["contrast_to_noise"] for line in lines]
        per_type[name] = {
            "novel": name in manifest["novel_types"],
            "images": images,
            "area_px": [min(areas), max(areas)],
            "contrast_to_noise": [min(contrasts), max(contrasts)],
        }
    return {
        "synthetic": True,
        "directory": directory,
        "manifest": MANIFEST,
        "layout": manifest["config"]["layout"],
        "size": manifest["config"]["size"],
        "bits": manifest["bits"],
        "seed": manifest["seed"],
        "train_good": manifest["counts"]["train_good"],
        "test_good": manifest["counts"]["test_good"],
        "defects": per_type,
    }


def _config(size: int, layout: str) -> "MicrographConfig":
    from pydantic import ValidationError

    from wafer_data.micrograph import MicrographConfig

    try:
        return MicrographConfig.model_validate({"size": size, "layout": layout})
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        option = f"--{found['loc'][0]}: " if found["loc"] else ""
        raise InputError(f"{option}{found['msg']}, not {found['input']}") from error


def _as_text(summary: Mapping[str, Any]) -> str:
    lines = [
        f"SYNTHETIC images, {summary['layout']}, {summary['size']} x {summary['size']} pixels, "
        f"{summary['bits']} bit, seed {summary['seed']}: they show no real wafer",
        f"  train/good {summary['train_good']}, test/good {summary['test_good']}",
    ]
    for name, kind in summary["defects"].items():
        lines.append(
            f"  test/{name} {kind['images']}{' (novel type)' if kind['novel'] else ''}: "
            f"{kind['area_px'][0]}-{kind['area_px'][1]} pixels, "
            f"contrast {kind['contrast_to_noise'][0]:.1f}-{kind['contrast_to_noise'][1]:.1f} x noise"
        )
    folder = summary["directory"]
    lines.append(f"{folder}: MVTec layout; parameters and severities in {folder}/{summary['manifest']}")
    return "\n".join(lines)
