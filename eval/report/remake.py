"""The report of a finished run drawn again, and its times measured, without scoring the images again."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.report import facts
from eval.report.extras import Extras, calibration_lowres, collect_extras
from eval.report.page import write_page
from eval.report.reopen import Reopened, reopen
from eval.report.shown import examples, worst
from eval.results import Evaluation
from eval.tradeoff.config import FabConfig
from eval.tradeoff.measure import measure_study
from eval.tradeoff.points import Study
from eval.tradeoff.subject import Subject
from tool_side.bundle.load import Bundle, load_bundle
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.store import ImageStore


@dataclass(frozen=True)
class Remade:
    """The new page's extras, and the run's name."""

    extras: Extras
    run: str


def remake_report(
    run_dir: Path,
    fab: FabConfig,
    *,
    measure: bool | None = None,
    others: Sequence[Path] = (),
    prices: Mapping[str, float] | None = None,
    shown: int = 8,
) -> Remade:
    """Write report.html, page.json and latency.json of a finished run again.

    measure: time the models; None: unless a full measurement is there already and no `others` are given. others:
    runs judged on the same test images, to compare. prices: of wrong decisions, over those of `router.costs`.
    shown: worst misses and false alarms, at most. Everything else in `report/` stays as it is.

    Raises `InputError` when there is no finished report, its data, policy or bundle have changed since, or another
    run has other test images.
    """
    opened, folder = reopen(run_dir), run_dir / "report"
    bundle = route_bundle(run_dir, opened)
    subject = _subject(run_dir, opened, bundle)
    compared = [_other(path, opened) for path in others]
    study = Study.read(folder)
    if measure or (measure is None and (study is None or study.mode != "full" or others)):
        study = measure_study(subject, "full", compared)
    elif others:
        raise InputError("other runs have to be measured to be compared: leave --no-measure out")
    evaluation = opened.evaluation
    if evaluation.routing is not None:
        misses, alarms = (
            examples(rows, evaluation, opened.store, opened.indices, bundle)
            for rows in worst(evaluation, shown)
        )
        evaluation = replace(evaluation, misses=misses, false_alarms=alarms)
    extras = collect_extras(
        run_dir,
        evaluation,
        opened.store,
        opened.indices,
        bundle,
        study,
        fab,
        dict(prices or {}),
        _page(folder).get("synthetic_data"),
    )
    write_page(folder, evaluation, extras)
    return Remade(extras, evaluation.provenance.run)


def short_study(run_dir: Path, evaluation: Evaluation, bundle: Bundle | None, seconds: float) -> Study | None:
    """The short measurement that is part of an evaluation; None for 0 seconds."""
    if seconds <= 0:
        return None
    return measure_study(
        _subject(run_dir, _opened(run_dir, evaluation, bundle), bundle), "short", seconds=seconds
    )


def first_page(
    folder: Path,
    run_dir: Path,
    evaluation: Evaluation,
    bundle: Bundle | None,
    study: Study | None,
    fab: FabConfig,
) -> None:
    """The page of an evaluation that has just been made, into `folder`."""
    opened = _opened(run_dir, evaluation, bundle)
    extras = collect_extras(run_dir, evaluation, opened.store, opened.indices, bundle, study, fab)
    write_page(folder, evaluation, extras)


def route_bundle(run_dir: Path, opened: Reopened) -> Bundle | None:
    """The run's bundle, exported anew if it has none or one of another policy; None without a route."""
    if opened.policy is None:
        return None
    if (run_dir / "bundle" / "manifest.json").is_file():
        try:
            bundle = load_bundle(run_dir / "bundle")
        except InputError:  # of an older version, or damaged
            bundle = None
        if bundle is not None and bundle.policy == opened.policy:
            return bundle
    from tool_side.export.write import export_bundle

    with tempfile.TemporaryDirectory() as temporary:
        export_bundle(run_dir, Path(temporary) / "bundle")
        return load_bundle(Path(temporary) / "bundle")


def _opened(run_dir: Path, evaluation: Evaluation, bundle: Bundle | None) -> Reopened:
    store = ImageStore.open(run_dir / "data")
    return Reopened(evaluation, store, store.indices("test"), bundle.policy if bundle else None)


def _subject(run_dir: Path, opened: Reopened, bundle: Bundle | None, name: str = "") -> Subject:
    return Subject(
        run_dir=run_dir,
        evaluation=opened.evaluation,
        store=opened.store,
        indices=opened.indices,
        bundle=bundle,
        policy=opened.policy,
        normal_lowres=calibration_lowres(run_dir),
        name=name,
    )


def _other(run_dir: Path, ours: Reopened) -> Subject:
    theirs = reopen(run_dir)
    if _test_images(theirs) != _test_images(ours):
        raise InputError(
            f"{run_dir} was judged on other test images: its accuracy cannot stand beside this run's"
        )
    bundle = route_bundle(run_dir, theirs)
    if bundle is None:
        raise InputError(f"{run_dir} has no calibrated route to compare")
    return _subject(run_dir, theirs, bundle, run_dir.resolve().name)


def _test_images(opened: Reopened) -> list[tuple[str, int]]:
    records = [opened.store.records[i] for i in opened.indices]
    return sorted((record.sha256, record.label) for record in records)


def _page(folder: Path) -> dict[str, Any]:
    path = folder / facts.FILE
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}
