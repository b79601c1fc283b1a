"""`waferroute wafer`: what the defects of a wafer look like together."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from waferroute.cli.arguments import (
    Commands,
    add_command,
    add_group,
    add_json,
    count,
    counts,
    positive,
    share,
)

if TYPE_CHECKING:
    from wafer_map.klarf import WaferResult
    from wafer_map.wafer import WaferMap


def add(commands: Commands) -> None:
    """Add the command and its own commands to the command line."""
    actions = add_group(
        commands,
        "wafer",
        summary="wafer maps, their signatures, repeaters, and where to look next",
        description="What the defects of a wafer look like together. Wafers come as KLARF files. Only `learn` needs "
        "the training side.",
        example="waferroute wafer signature results.klarf",
    )
    _add_map(actions)
    _add_signature(actions)
    _add_repeaters(actions)
    _add_sites(actions)
    _add_learn(actions)


def _add_map(actions: Commands) -> None:
    parser = add_command(
        actions,
        "map",
        run_map,
        summary="draw the map of a wafer, or export its die bins",
        description="Draw the dies of one wafer of a KLARF file as SVG, bad ones marked, its signature outlined; or "
        "export them as SEMI E142 (a file name that ends with .xml).",
        example="waferroute wafer map results.klarf --wafer W01 --out W01.svg",
    )
    _add_wafer(parser)
    parser.add_argument(
        "--out", metavar="FILE", type=Path, required=True, help="picture (.svg) or die bins (.xml)"
    )


def _add_signature(actions: Commands) -> None:
    parser = add_command(
        actions,
        "signature",
        run_signature,
        summary="is a wafer's pattern random? If not, which signature is it?",
        description="Test every wafer of a KLARF file against a spatially random one: for centre, ring, edge ring, "
        "local edge, cluster and scratch the excess of bad dies, and its p-value from permutations. With a learned "
        "model also the probability of each kind that it was learned from.",
        example="waferroute wafer signature results.klarf --model signatures.json --json",
    )
    _add_wafer(parser)
    parser.add_argument("--model", metavar="FILE", type=Path, help="model of `waferroute wafer learn`")
    parser.add_argument("--level", metavar="P", type=share, default=0.01, help="significance (default: 0.01)")
    parser.add_argument(
        "--permutations",
        metavar="N",
        type=count,
        default=999,
        help="random wafers to compare with (default: 999)",
    )
    add_json(parser, "print one JSON object a line and wafer")


def _add_repeaters(actions: Commands) -> None:
    parser = add_command(
        actions,
        "repeaters",
        run_repeaters,
        summary="defects at the same place of every die or exposure field",
        description="Find places of the exposure field where defects repeat, over all wafers of the KLARF files. On "
        "several wafers that points to the reticle; on every die of a field of several, to the die itself.",
        example="waferroute wafer repeaters W01.klarf W02.klarf --reticle 2 3",
    )
    parser.add_argument(
        "files", metavar="KLARF", nargs="+", type=Path, help="KLARF files of the same product"
    )
    parser.add_argument(
        "--reticle",
        metavar=("COLUMNS", "ROWS"),
        nargs=2,
        type=count,
        default=[1, 1],
        help="dies of an exposure field",
    )
    parser.add_argument(
        "--tolerance",
        metavar="UM",
        type=positive,
        default=20.0,
        help="how near is the same place (default: 20)",
    )
    add_json(parser, "print one JSON object a line and repeater")


def _add_sites(actions: Commands) -> None:
    parser = add_command(
        actions,
        "sites",
        run_sites,
        summary="which dies to inspect next",
        description="Choose the dies of a wafer to inspect next: where little is known, and where defects are likely, "
        "after what was inspected and found (the KLARF file's sample plan and defects).",
        example="waferroute wafer sites results.klarf --wafer W01 --count 10",
    )
    _add_wafer(parser)
    parser.add_argument("--count", metavar="N", type=count, default=10, help="how many (default: 10)")
    add_json(parser, "print JSON")


def _add_learn(actions: Commands) -> None:
    parser = add_command(
        actions,
        "learn",
        run_learn,
        summary="learn to name signatures from labelled maps",
        description="Learn a classifier of signatures from pictures of wafer maps in folders that name their kind "
        "(MAPS/KIND/*.png; a colour each for off the wafer, good and bad). The model is a JSON file that runs without "
        "the training side.",
        example="waferroute wafer learn MAPS --die-pixels 10 --out signatures.json",
    )
    parser.add_argument("maps", metavar="MAPS", type=Path, help="folder of folders of map pictures")
    parser.add_argument("--die-pixels", metavar="N", type=count, default=1, help="pixels a die (default: 1)")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="model to write")
    add_json(parser, "print JSON")


def _add_wafer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="KLARF", type=Path, help="KLARF file (1.1, 1.2, 1.8)")
    parser.add_argument(
        "--wafer", metavar="NAME", help="one wafer of the file (default: all, or the only one)"
    )
    parser.add_argument("--lot", metavar="NAME", help="one lot of the file, where it holds several")
    parser.add_argument(
        "--bins",
        metavar="N,N",
        type=counts,
        help="count only defects with one of these ROUGHBINNUMBERs; `inspect --klarf` writes 1 for PASS, 2 for "
        "REVIEW, 3 for REJECT (default: count all). A die with a defect that has no bin yet (0) or no judged image "
        "is left out unless another defect counts",
    )


def _map_of(args: argparse.Namespace, wafer: "WaferResult") -> "tuple[WaferMap, int]":
    """The map of its judged dies, and how many more there are."""
    from wafer_data.errors import DataError
    from wafer_map.wafer import WaferMap, counted_defects, dies_of

    try:
        counts = counted_defects(wafer, args.bins)
        unjudged = list(dies_of(wafer, counts).values()).count(None)
        return WaferMap.from_klarf(wafer, counts), unjudged
    except DataError as error:
        raise DataError(f"{args.file}: {error}") from error


def run_map(args: argparse.Namespace) -> int:
    """Draw or export one wafer."""
    from wafer_data.files import write_text
    from wafer_map.choose import choose_one
    from wafer_map.e142 import die_bins
    from wafer_map.signatures import find_signatures
    from wafer_map.svg import draw

    wafer = choose_one(args.file, args.lot, args.wafer)
    found, unjudged = _map_of(args, wafer)
    if args.out.suffix.lower() == ".xml":
        write_text(args.out, die_bins(found, wafer))
    else:
        signatures = find_signatures(found)
        shown = signatures.tests[0].region if signatures.tests and signatures.kind != "random" else ()
        title = f"{wafer.lot} {wafer.wafer}: {sum(found.bad)} of {len(found.bad)} dies bad, {signatures.kind}"
        write_text(args.out, draw(found, title, region=shown, notch=wafer.mark_location or "DOWN"))
    left_out = f"{unjudged} dies that are not judged are left out; " if unjudged else ""
    print(f"{left_out}written: {args.out}")
    return 0


def run_signature(args: argparse.Namespace) -> int:
    """Test, and classify where there is a model, every chosen wafer."""
    from wafer_map.choose import choose_wafers
    from wafer_map.signature_model import SignatureModel
    from wafer_map.signatures import find_signatures

    model = SignatureModel.load(args.model) if args.model else None
    for wafer in choose_wafers(args.file, args.lot, args.wafer):
        found, unjudged = _map_of(args, wafer)
        signatures = find_signatures(found, level=args.level, permutations=args.permutations)
        chances = model.probabilities(found.grid()) if model else {}
        if args.json:
            content = {
                "lot": wafer.lot,
                "wafer": wafer.wafer,
                "dies": len(found.dies),
                "unjudged": unjudged,
                **signatures.to_dict(),
            }
            print(json.dumps(content | ({"probabilities": chances} if model else {})))
            continue
        bad = sum(found.bad)
        more = f", {unjudged} more not judged" if unjudged else ""
        print(
            f"lot {wafer.lot}, wafer {wafer.wafer}: {bad} of {len(found.dies)} dies bad{more}, {signatures.kind}"
        )
        for test in signatures.tests:
            print(
                f"  {test.kind:<11} {test.bad:>4} bad dies of {test.dies:>4} where a random wafer has "
                f"{test.expected:6.1f}: p {test.p:.3g}, over all kinds {test.p_family:.3g}"
            )
        if chances:
            print("  learned: " + ", ".join(f"{kind} {p:.2f}" for kind, p in list(chances.items())[:3]))
    return 0


def run_repeaters(args: argparse.Namespace) -> int:
    """Find repeaters over all files."""
    from wafer_map.repeater_points import read_points
    from wafer_map.repeaters import find_repeaters

    points, pitch = read_points(args.files)
    columns, rows = args.reticle
    names = [named._asdict() for named in points.values()]
    found = find_repeaters(list(points), pitch, reticle=(columns, rows), tolerance_um=args.tolerance)
    for one in found:
        if args.json:
            print(json.dumps(one.to_dict() | {"points": [names[i] for i in one.points]}))
        else:
            x, y = one.place
            print(
                f"at ({x:.0f}, {y:.0f}) um on {one.fields} fields of {len(one.wafers)} wafers, p {one.p:.3g}: points "
                f"to the {one.points_to}"
            )
    if not found and not args.json:
        print(f"no repeaters among {len(points)} defects")
    return 0


def run_sites(args: argparse.Namespace) -> int:
    """Choose the next dies of one wafer."""
    from wafer_map.choose import choose_one
    from wafer_map.decide import next_sites
    from wafer_map.wafer import dies_on_wafer

    wafer = choose_one(args.file, args.lot, args.wafer)
    found, _ = _map_of(args, wafer)
    known = dict(zip(found.dies, found.bad, strict=True))
    dies = list(dict.fromkeys([*dies_on_wafer(wafer), *wafer.plan, *known]))
    seen = {i: known[die] for i, die in enumerate(dies) if die in known} if wafer.plan else {}
    width, height = found.pitch
    chosen = next_sites([(x * width, y * height) for x, y in dies], seen, args.count)
    if args.json:
        print(json.dumps({"wafer": wafer.wafer, "dies": [list(dies[i]) for i in chosen]}))
    else:
        print("\n".join(f"{dies[i][0]} {dies[i][1]}" for i in chosen) or "every die was inspected")
    return 0


def run_learn(args: argparse.Namespace) -> int:
    """Learn and write a model."""
    from wafer_map.learn import learn_signatures, read_labelled_maps

    grids, kinds, _ = read_labelled_maps(args.maps, args.die_pixels)
    model = learn_signatures(grids, kinds)
    model.save(args.out)
    if args.json:
        print(json.dumps({"model": str(args.out), "learned_from": dict(model.learned_from)}))
    else:
        learned = ", ".join(f"{number} {kind}" for kind, number in sorted(model.learned_from.items()))
        print(f"learned from {learned}; written: {args.out}")
    return 0
