"""`waferroute micrographs`: a folder of synthetic images."""

import json
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from wafer_data.errors import InputError
from wafer_data.micrograph import MicrographConfig, default_counts, write_micrographs
from wafer_data.micrograph.dataset import MANIFEST


def run_micrographs(args: Namespace) -> int:
    """Write the images and say what was written. Raises InputError for settings that make no data set."""
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


def _config(size: int, layout: str) -> MicrographConfig:
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
