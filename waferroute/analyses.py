"""`waferroute errors` and `waferroute novelty`: what explains a finished run."""

import contextlib
import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wafer_data.errors import InputError
from waferroute.config import RunConfig, load_config
from waferroute.run_lock import LOCK_NAME, locked


def run_errors(args: Namespace) -> int:
    """Explain the errors of `args.run`; `args`: out, model, json. Raises InputError for a run that lacks a part."""
    from eval.errors import analyse_errors, require_replaceable

    out = args.out or args.run / "errors"
    with _finished_run(args.run, out) as config:
        require_replaceable(out)  # before minutes of scoring
        with contextlib.redirect_stdout(sys.stderr):  # libraries print there at will
            found = analyse_errors(
                args.run, out, args.model, config.router if config else None, config.eval if config else None
            )
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_errors(found, out)
    return 0


@contextlib.contextmanager
def _finished_run(run_dir: Path, out: Path) -> Iterator[RunConfig | None]:
    """The run's configuration, if it was kept. Holds the run where the result goes into it."""
    if not (run_dir / "data").is_dir():
        raise InputError(f"{run_dir} is not a run folder (it has no data): give the folder of a finished run")
    kept = run_dir / "config.yaml"
    inside = run_dir.resolve() in out.resolve().parents and (run_dir / LOCK_NAME).exists()
    with locked(run_dir) if inside else contextlib.nullcontext():
        yield load_config(kept) if kept.is_file() else None


def _print_errors(found: dict[str, Any], out: Path) -> None:
    counts = found["counts"]
    print(f"missed defects: {counts['missed']} of {counts['test_defects']}")
    print(f"false alarms: {counts['false_alarms']} of {counts['test_normals']} normal images")
    for mode in found["modes"][:3]:
        text = mode["mitigation"].replace("\N{NO-BREAK SPACE}", " ")
        print(f"{mode['name']}: {mode['count']} ({mode['share']:.0%} of its kind)\n    {text}")
    for word in ("easiest", "hardest"):
        if found[word] is not None:
            reason = found[word]["reason"].replace("\N{NO-BREAK SPACE}", " ")
            print(f"{word} type: {found[word]['type']}: {reason}")
    print(f"page: {out / 'errors.html'}")
    print(f"figures: {out / 'errors.json'}")


def run_novelty(args: Namespace) -> int:
    """Leave types out and simulate delays; `args`: run, out, json and the settings. Raises InputError as above."""
    from eval.novelty import NoveltySettings, assess_novelty, require_replaceable

    settings = NoveltySettings(
        per_type=args.per_type,
        images_per_month=args.images_per_month,
        rate=args.rate,
        false_alarms_per_month=args.false_alarms_per_month,
        seed=args.seed,
    )
    out = args.out or args.run / "novelty"
    with _finished_run(args.run, out) as config:
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
