"""`waferroute classes`: types of defects in a bundle."""

import argparse

from waferroute.cli.arguments import Commands, add_command, add_group, add_json, count, share


def add(commands: Commands) -> None:
    """Add the command and its own commands to the command line."""
    actions = add_group(
        commands,
        "classes",
        summary="teach a bundle the types of defects",
        description="A bundle may hold a classifier of defect types: flagged images then get a type, its "
        "probability, and the set of types that cannot be excluded. It never changes a decision, "
        "and the students stay as they are.",
        example="waferroute classes learn BUNDLE DEFECTS --out bundles/named",
    )
    learn = add_command(
        actions,
        "learn",
        run_learn,
        summary="learn the types from labelled images",
        description="Learn a classifier from a folder with a sub-folder of images for each type (the layout of MVTec's "
        "test/; `good` is left out) and write a new bundle that holds it. Five images of a type are the fewest, 40 are "
        "good.",
        example="waferroute classes learn runs/first/bundle DATA/test --out bundles/named --at-most 40",
    )
    _add_bundle(learn)
    learn.add_argument("folder", metavar="FOLDER", help="folder with one sub-folder of images a type")
    _add_out(learn)
    learn.add_argument(
        "--at-most", metavar="N", type=count, help="take at most N images of each type, the first by name"
    )
    learn.add_argument(
        "--same-part",
        metavar="PATTERN",
        help="regular expression that finds in a file's name which part it shows: pictures of one part are no "
        "independent examples, and sets that take them for such hold less often than they promise",
    )
    learn.add_argument(
        "--gap",
        metavar="N",
        type=count,
        default=0,
        help="the pattern finds running numbers; steps up to N are one part (default: equal text is one part)",
    )
    learn.add_argument(
        "--level",
        metavar="SHARE",
        type=share,
        default=0.05,
        help="share of a type's defects whose set may miss it (default: 0.05)",
    )
    learn.add_argument(
        "--quick",
        action="store_true",
        help="tell types by what the students computed alone, without the backbone's look at a crop of each defect: "
        "under a millisecond for a flagged image, and less often right",
    )
    more = add_command(
        actions,
        "add",
        run_add,
        summary="add one type from 5 to 20 images",
        description="Add a type to a bundle's classifier from a few images of it, and write a new bundle. What the "
        "classifier knew stays. With fewer than 19 images no set excludes the new type (at level 0.05).",
        example="waferroute classes add bundles/named stain IMAGES --out bundles/named2",
    )
    _add_bundle(more)
    more.add_argument("name", metavar="NAME", help="name of the new type")
    _add_images(more, "images of the new type")
    _add_out(more)
    group = add_command(
        actions,
        "group",
        run_group,
        summary="group the defects of unknown type, to be named",
        description="Find groups of like images among those whose set of types holds `unknown`, the most typical "
        "of each group first. Name a group with `waferroute classes add`.",
        example="waferroute classes group bundles/named IMAGES",
    )
    _add_bundle(group)
    _add_images(group, "images of defects")
    group.add_argument("--every", action="store_true", help="group all images, also those of a known type")
    group.add_argument(
        "--fewest", metavar="N", type=count, default=5, help="images of the smallest group (default: 5)"
    )
    add_json(group, "print one JSON object a line and image")


def run_learn(args: argparse.Namespace) -> int:
    """Learn and write the new bundle."""
    if not 0 < args.level < 1:
        args.help_of.error("--level must lie between 0 and 1")
    if args.gap and args.same_part is None:
        args.help_of.error("--gap goes with --same-part PATTERN")
    from waferroute.classes import run_learn as run

    return run(
        args.bundle,
        args.folder,
        args.out,
        at_most=args.at_most,
        same_part=args.same_part,
        gap=args.gap,
        level=args.level,
        quick=args.quick,
        recipe=args.recipe,
    )


def run_add(args: argparse.Namespace) -> int:
    """Add the type and write the new bundle."""
    from waferroute.classes import run_add as run

    return run(args.bundle, args.name, args.images, args.out, recipe=args.recipe)


def run_group(args: argparse.Namespace) -> int:
    """Print the groups."""
    if args.fewest < 2:
        args.help_of.error("--fewest must be at least 2")
    from waferroute.classes import run_group as run

    return run(
        args.bundle,
        args.images,
        every=args.every,
        fewest=args.fewest,
        recipe=args.recipe,
        json_output=args.json,
    )


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder to start from; it is not changed")
    parser.add_argument("--recipe", metavar="NAME", help="recipe of the images (default: the bundle's first)")


def _add_images(parser: argparse.ArgumentParser, about: str) -> None:
    parser.add_argument("images", metavar="IMAGE_OR_FOLDER", nargs="+", help=about)


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="NEW_BUNDLE", required=True, help="folder to write")
