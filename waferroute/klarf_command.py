"""`waferroute klarf`: what it understands. Only the standard library is imported before it runs."""

import argparse
import json
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from wafer_map.klarf import KlarfFile, WaferResult

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_klarf(commands: Commands) -> None:
    """Add `klarf show` to the command line."""
    parser = commands.add_parser(
        "klarf",
        help="look into a KLARF results file (needs no training side)",
        description="Read KLARF 1.1, 1.2 and 1.8. `waferroute inspect BUNDLE --klarf IN --out OUT` judges its images.",
    )
    parser.set_defaults(help_of=parser)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND")
    show = actions.add_parser(
        "show",
        help="print its wafers, and what was odd about it",
        description="Check that a KLARF file can be read; print its wafers, how many defects each has, what was odd "
        "and how it was read, and the records that are kept but not interpreted. Exit status 2, with the line, for a "
        "file that is damaged or incomplete.",
        epilog="example: waferroute klarf show results.klarf --json",
    )
    show.add_argument("file", metavar="FILE", help="KLARF file")
    show.add_argument(
        "--incomplete",
        action="store_true",
        help="accept a file without EndOfFile: cut off, or still being written",
    )
    show.add_argument(
        "--json", action="store_true", help="print JSON: all wafers with all defects, in micrometres"
    )
    show.set_defaults(action=_show, help_of=show)


def _show(args: argparse.Namespace) -> int:
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
