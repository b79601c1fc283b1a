"""`waferroute klarf`: look into a KLARF results file."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from waferroute.cli.arguments import Commands, add_command, add_group, add_json

if TYPE_CHECKING:
    from wafer_map.klarf import KlarfFile, WaferResult


def add(commands: Commands) -> None:
    """Add the command and its `show` to the command line."""
    actions = add_group(
        commands,
        "klarf",
        summary="look into a KLARF results file (needs no training side)",
        description="Read KLARF 1.1, 1.2 and 1.8. `waferroute inspect BUNDLE --klarf IN --out OUT` scores its images.",
        example="waferroute klarf show results.klarf",
    )
    show = add_command(
        actions,
        "show",
        run,
        summary="print its wafers, and what was odd about it",
        description="Check that a KLARF file can be read; print its wafers, how many defects each has, what was odd "
        "and how it was read, and the records that are kept but not interpreted. Exit status 2, with the line, for a "
        "file that is damaged or incomplete.",
        example="waferroute klarf show results.klarf --json",
    )
    show.add_argument("file", metavar="FILE", help="KLARF file")
    show.add_argument(
        "--incomplete",
        action="store_true",
        help="accept a file without EndOfFile: cut off, or still being written",
    )
    add_json(show, "print JSON: all wafers with all defects, in micrometres")


def run(args: argparse.Namespace) -> int:
    """Print what the file holds."""
    from wafer_map.klarf import read_klarf

    file = read_klarf(args.file, keep_incomplete=args.incomplete)
    print(json.dumps(_as_dict(file), indent=2) if args.json else "\n".join(_lines(file)))
    return 0


def _lines(file: "KlarfFile") -> list[str]:
    lines = [
        f"KLARF {file.version}, {len(file.wafers)} wafers, {file.defects} defects"
        + ("" if file.complete else ", incomplete (no EndOfFile)")
    ]
    for wafer in file.wafers:
        dies = f", {len(wafer.plan)} dies in the sample plan" if wafer.plan else ""
        pictures = sum(len(defect.images) for defect in wafer.defects)
        lines.append(
            f"  lot {wafer.lot}, wafer {wafer.wafer}, slot {wafer.slot}: {len(wafer.defects)} defects, "
            f"{pictures} images{dies}"
        )
    lines += [f"  {note}" for note in file.notes]
    if file.other:
        lines.append("  kept, not interpreted: " + ", ".join(sorted(file.other)))
    return lines


def _as_dict(file: "KlarfFile") -> dict[str, Any]:
    return {
        "version": file.version,
        "complete": file.complete,
        "timestamp": file.timestamp,
        "notes": file.notes,
        "other": file.other,
        "wafers": [_wafer_dict(wafer) for wafer in file.wafers],
    }


def _wafer_dict(wafer: "WaferResult") -> dict[str, Any]:
    content = {name: value for name, value in vars(wafer).items() if name != "defects"}
    content["defects"] = [
        {
            **{name: value for name, value in vars(defect).items() if name not in ("images", "values")},
            "position": wafer.position(defect),
            "images": [vars(image) for image in defect.images],
            "values": dict(defect.values),
        }
        for defect in wafer.defects
    ]
    return content
