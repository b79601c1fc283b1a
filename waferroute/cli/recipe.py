"""`waferroute recipe`: a further recipe (tool, layer) in a bundle."""

import argparse
import json
from typing import Any

from waferroute.cli.arguments import Commands, add_command, add_group


def add(commands: Commands) -> None:
    """Add the command and its `add` to the command line."""
    actions = add_group(
        commands,
        "recipe",
        summary="add a further recipe (tool, layer) to a bundle",
        description="A bundle may hold several recipes: the same students, and for each recipe its own quality gate, "
        "thresholds and certificate.",
        example="waferroute recipe add BUNDLE etch_7 NORMALS --out bundles/both",
    )
    add = add_command(
        actions,
        "add",
        run,
        summary="calibrate a further recipe from its normal images",
        description="Calibrate a further recipe with the bundle's own students, from normal images of that recipe "
        "(about 300 or more), and write a new bundle that holds it too. `waferroute inspect --recipe NAME` then uses "
        "it; an image of no or of an unknown recipe is REVIEW.",
        example="waferroute recipe add runs/first/bundle etch_7 NORMALS --out bundles/both --first-name etch_3",
    )
    add.add_argument("bundle", metavar="BUNDLE", help="bundle folder to start from; it is not changed")
    add.add_argument("name", metavar="NAME", help="name of the new recipe")
    add.add_argument(
        "images",
        metavar="IMAGE_OR_FOLDER",
        nargs="+",
        help="normal images of the new recipe, and none but those",
    )
    add.add_argument("--out", metavar="NEW_BUNDLE", required=True, help="folder to write")
    add.add_argument(
        "--first-name", metavar="NAME", help='name of the bundle\'s own recipe (default: "default")'
    )
    add.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=_setting,
        help="a key of the configuration's router section that is not at its default, for example flag_rate=0.1",
    )


def run(args: argparse.Namespace) -> int:
    """Calibrate the recipe and write the new bundle."""
    from tool_side.export.recipe import run_recipe_add

    return run_recipe_add(
        args.bundle, args.name, args.images, args.out, first_name=args.first_name, settings=dict(args.set)
    )


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text} is not KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
