"""`waferroute report`: the report of a finished run again, with the study of time against accuracy."""

import contextlib
import json
import sys
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waferroute.cli.arguments import Commands, add_command, add_json

if TYPE_CHECKING:
    from eval.tradeoff.config import FabConfig

_BUDGETS = (
    (
        "image_ms",
        "MS",
        "a time budget for one image in milliseconds, to answer; may be repeated (default: 50)",
    ),
    ("lot_ms", "MS", "a time budget for a whole lot in milliseconds; may be repeated (default: 150)"),
    ("images_per_hour", "N", "a rate to keep, in images an hour; may be repeated (default: 10000)"),
)
_LINE = (
    "images_per_month",
    "defect_rate",
    "hours_per_month",
    "lot_images",
    *(name for name, _, _ in _BUDGETS),
)
_PRICES = ("escape_usd", "false_reject_usd", "review_usd")


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "report",
        run,
        summary="draw a finished run's report again, with time against accuracy",
        description="Draw report.html of a finished run again without scoring the images again, and time every model "
        "and setting: batch sizes, threads, precision, routing thresholds. Answers time budgets, and computes tools, "
        "escapes and costs of a month with your own prices.",
        example="waferroute report runs/mine --image-ms 50 --lot-ms 150 --lot-images 200 "
        "--defect-rate 0.002 --review-usd 8",
    )
    parser.add_argument("run", metavar="RUN", help="a run folder that holds report/")
    parser.add_argument(
        "--measure",
        action=BooleanOptionalAction,
        default=None,
        help="time everything again, or nothing (default: unless it was timed in full before)",
    )
    for name, metavar, text in _BUDGETS:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, dest=name, metavar=metavar, type=float, action="append", help=text)
    parser.add_argument(
        "--with",
        dest="others",
        metavar="RUN",
        action="append",
        default=[],
        help="another run on the same test images, to show in the same plot; may be repeated",
    )
    parser.add_argument(
        "--images-per-month", metavar="N", type=int, help="images that the line takes in a month"
    )
    parser.add_argument(
        "--defect-rate", metavar="SHARE", type=float, help="share of images with a defect, e.g. 0.001"
    )
    parser.add_argument(
        "--hours-per-month", metavar="H", type=float, help="hours a month in which the tools inspect"
    )
    parser.add_argument("--lot-images", metavar="N", type=int, help="images of a lot (default: 25)")
    for name, what in zip(
        _PRICES,
        ("a defective wafer passed on", "a good wafer rejected", "a person looking at one image"),
        strict=True,
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            metavar="USD",
            type=float,
            help=f"price of {what} (default: router.costs)",
        )
    add_json(parser, "print budgets and the month as JSON")


def run(args: Namespace) -> int:
    """Draw the report again and print the answers."""
    from eval.report import remake_report
    from eval.report.tradeoff import month_sentence, replies, tools_sentence
    from wafer_data.errors import InputError
    from waferroute.run_lock import locked

    run_dir = Path(args.run)
    if not (run_dir / "report" / "report.json").is_file():
        raise InputError(
            f"{run_dir} holds no report: give the folder of a finished run, or do `waferroute run` first"
        )
    fab = fab_settings(run_dir, args)
    prices = {name: getattr(args, name) for name in _PRICES if getattr(args, name) is not None}
    with locked(run_dir), _still_current(run_dir / "report"), contextlib.redirect_stdout(sys.stderr):
        made = remake_report(
            run_dir, fab, measure=args.measure, others=[Path(other) for other in args.others], prices=prices
        )
    extras, page = made.extras, run_dir / "report" / "report.html"
    if args.json:
        content = {
            "budgets": [asdict(one) for one in replies(extras.budgets)],
            "fab": asdict(extras.fab) if extras.fab else None,
            "notes": extras.study.notes if extras.study else [],
            "page": str(page),
        }
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return 0
    for reply in replies(extras.budgets):
        print(_plain(f"{reply.budget}: {reply.verdict}. {' '.join(reply.sentences)}"))
    if extras.fab:
        print(_plain(f"{month_sentence(extras.fab)} {tools_sentence(extras.fab)}"))
    for note in extras.study.notes if extras.study else ():
        print(_plain(note))
    print(f"page: {page}")
    return 0


def fab_settings(run_dir: Path, args: Namespace) -> "FabConfig":
    """The `eval.fab` section of the run's configuration with the options laid over it."""
    import yaml
    from pydantic import ValidationError

    from eval.tradeoff.config import FabConfig
    from wafer_data.errors import InputError

    path = run_dir / "config.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
    section: Any = content.get("eval") if isinstance(content, dict) else None
    section = section.get("fab") if isinstance(section, dict) else None
    given = {name: getattr(args, name) for name in _LINE if getattr(args, name) is not None}
    try:
        return FabConfig.model_validate({**(section or {}), **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        option = f"--{name.replace('_', '-')}" if name in given else f"eval.fab.{name}"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{option}: {message}") from error


@contextlib.contextmanager
def _still_current(folder: Path) -> Iterator[None]:
    """The evaluation's record follows the new files, if it fitted the old ones.

    Else the next `waferroute run` would take them for damage and evaluate again.
    """
    from waferroute.stage_record import RECORD_NAME, StageRecord, first_damage, take_stock

    path = folder / RECORD_NAME
    record = StageRecord.read(path)
    finished = record.finished if record is not None else None
    intact = finished is not None and not first_damage(folder, finished.outputs or {})
    yield
    if record is not None and finished is not None and intact:
        new = replace(finished, outputs=take_stock(folder, path, ()))
        # beside an evaluation with other settings that did not end
        (new if record is finished else replace(record, before=new)).write(path, "evaluate")


def _plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
