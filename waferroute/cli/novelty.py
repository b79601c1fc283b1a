"""`waferroute novelty`: how well, and how soon, a defect type that nobody has labelled is noticed."""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from waferroute.cli.arguments import Commands, add_command, add_finished_run, count, positive, seed, share
from waferroute.cli.finished_run import finished_run


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "novelty",
        run,
        summary="how well, and how soon, a defect type that nobody has labelled is noticed",
        description="Leave one defect type out of the labels at a time and measure how well it is found; then "
        "simulate how many images and hours pass until a new type is noticed. Writes a self-contained page "
        "(novelty.html), its figures (novelty.json) and a picture (delay.svg). Nothing is trained: the students stay "
        "as they are, their likelihood and defect head are fitted again.",
        example="waferroute novelty runs/quickstart --rate 0.0001",
    )
    add_finished_run(parser, "novelty")
    parser.add_argument(
        "--per-type",
        metavar="N",
        type=count,
        default=40,
        help="labelled defects of each other type, at most half of it (default: 40)",
    )
    parser.add_argument(
        "--images-per-month",
        metavar="N",
        type=positive,
        default=2.4e6,
        help="images inspected in a month of 30 days (default: 2400000)",
    )
    parser.add_argument(
        "--rate",
        metavar="SHARE",
        type=new_type_share,
        default=1e-4,
        help="share of images that show the new type from its first day on (default: 0.0001, 1 in 10 000)",
    )
    parser.add_argument("--seed", metavar="N", type=seed, default=0, help="of the draws (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Leave defect types out and simulate delays, write the page and print the figures."""
    from eval.novelty import NoveltySettings, assess_novelty, require_replaceable

    settings = NoveltySettings(
        per_type=args.per_type,
        images_per_month=args.images_per_month,
        rate=args.rate,
        seed=args.seed,
    )
    out = args.out or args.run / "novelty"
    with finished_run(args.run, out) as config:
        require_replaceable(out)
        with contextlib.redirect_stdout(sys.stderr):
            found = assess_novelty(
                args.run, out, settings, config.router if config else None, config.eval if config else None
            )
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_novelty(found, out)
    return 0


def _print_novelty(found: dict[str, Any], out: Path) -> None:
    held, times = found["held_out"], found["times"]
    for name, lines in (
        ("without labels", held["without"]),
        ("with labels of other types", held["labelled"]),
    ):
        for line in lines or []:
            print(
                f"{line['type']}, {name}: AUROC {line['auroc']:.3f}, found {line['detection_rate']:.1%} "
                f"of {line['images']}"
            )
    print(f"normal images flagged: {times['flag_rate']:.1%}")
    for line in times["labelled"] or times["without"]:
        first = line["first"]
        if first["median_hours"] is None:
            print(f"a new type like {line['type']}: never flagged on these images")
            continue
        print(
            f"a new type like {line['type']}, {line['rate']:g} of all images: first flagged after "
            f"{first['median_hours']:.1f} hours (95 %: {first['p95_hours']:.1f})"
        )
    print(f"page: {out / 'novelty.html'}")
    print(f"figures: {out / 'novelty.json'}")


def new_type_share(text: str) -> float:
    """A share above 0 and at most 0.5."""
    if not 0 < share(text) <= 0.5:
        raise argparse.ArgumentTypeError(f"expected a share above 0 and at most 0.5, got {text}")
    return share(text)
