"""The report of a run: measured and drawn, or drawn again from what was measured before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.config import EvalConfig
from eval.evaluate import evaluate
from eval.metrics.sketch_file import write_sketches
from eval.report.extras import Extras, collect_extras
from eval.report.page import render_report
from eval.report.reopen import reopen, test_indices
from eval.report.shown import examples, worst_false_alarms, worst_misses
from eval.results import Evaluation
from eval.run import FinishedRun
from eval.tool_run import BundleStudents
from eval.tradeoff.config import FabConfig
from eval.tradeoff.measure import measure_study
from eval.tradeoff.points import Study
from eval.tradeoff.subject import Subject
from eval.training_curve import to_csv
from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_json, write_text
from wafer_data.progress import Progress


@dataclass(frozen=True)
class Remade:
    """The new page's extras, and the run's name."""

    extras: Extras
    run: str


def evaluate_run(run_dir: Path, config: EvalConfig) -> dict[str, Any]:
    """Measure the run in `run_dir` and write its folder `report/`.

    That is report.json, report.html, parity.json, predictions.json, baselines.json, page.json, latency.json,
    pixels.npz for `waferroute compare`, and the losses of a baseline trained in epochs as NAME_losses.csv.

    See `eval.evaluate.evaluate` for what is measured and what is refused. The folder is replaced as a whole or, on
    failure, left as it was. Returns the content of report.json.
    """
    run = FinishedRun(Path(run_dir))
    with Progress():
        found = evaluate(run, config)
        indices = run.store.indices("test")
        subject = Subject(run, found.evaluation, indices)
        timed = config.study_seconds and run.store.reduced is None  # the study times squares
        study = measure_study(subject, "short", seconds=config.study_seconds) if timed else None
    report = found.evaluation.to_report_json()
    with new_directory(run.folder / "report") as folder:
        write_json(folder / "predictions.json", found.images.to_json())
        write_json(folder / "baselines.json", found.evaluation.baselines)
        if found.sketches:
            write_sketches(folder / "pixels.npz", found.sketches)
        for name, curve in found.evaluation.curves.items():
            write_text(folder / f"{name}_losses.csv", to_csv(curve))
        if found.evaluation.parity is not None:
            write_json(folder / "parity.json", found.evaluation.parity.to_json())
        _draw(folder, run, found.evaluation, indices, study, config.fab, config.worst)
        write_json(folder / "report.json", report)
    return report


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

    Raises `InputError` when there is no finished report, its data, policy or bundle have changed since, or
    another run has other test images.

    Args:
        measure: Time the models; None: unless a full measurement is there already and no `others` are given.
        others: Runs judged on the same test images, to compare.
        prices: Of wrong decisions, over those of `router.costs`.
        shown: Worst misses and false alarms, at most. Everything else in `report/` stays as it is.
    """
    subject = _subject(FinishedRun(run_dir))
    run, folder = subject.run, run_dir / "report"
    compared = [_other(path, subject) for path in others]
    study = Study.read(folder)
    if run.store.reduced is not None:
        if measure or others:
            run.require_squares("the study of speed and accuracy")
        study = None
    elif measure or (measure is None and (study is None or study.mode != "full" or others)):
        study = measure_study(subject, "full", compared)
    elif others:
        raise InputError("other runs have to be measured to be compared: leave --no-measure out")
    extras = _draw(folder, run, subject.evaluation, subject.indices, study, fab, shown, dict(prices or {}))
    return Remade(extras, subject.evaluation.provenance.run)


def _draw(
    folder: Path,
    run: FinishedRun,
    evaluation: Evaluation,
    indices: np.ndarray,
    study: Study | None,
    fab: FabConfig,
    shown: int,
    prices: dict[str, float] | None = None,
) -> Extras:
    """Write report.html with page.json and latency.json, which hold what it shows beyond report.json."""
    extras = collect_extras(run, evaluation, indices, study, fab, prices)
    if evaluation.routing is not None:
        students = BundleStudents(run.bundle)
        misses, alarms = (
            examples(pick(evaluation.routing, evaluation.labels, shown), evaluation, run, indices, students)
            for pick in (worst_misses, worst_false_alarms)
        )
        evaluation = replace(evaluation, misses=misses, false_alarms=alarms)
    html = render_report(evaluation, extras)
    if study is not None:
        study.write(folder)
    write_json(folder / "page.json", evaluation.to_page_json() | extras.to_json())
    write_text(folder / "report.html", html)
    return extras


def _subject(run: FinishedRun, name: str = "") -> Subject:
    return Subject(run, reopen(run), test_indices(run), name)


def _other(run_dir: Path, ours: Subject) -> Subject:
    theirs = _subject(FinishedRun(run_dir), run_dir.resolve().name)
    if _test_images(theirs) != _test_images(ours):
        raise InputError(
            f"{run_dir} was judged on other test images: its accuracy cannot stand beside this run's"
        )
    if theirs.evaluation.routing is None:
        raise InputError(f"{run_dir} has no calibrated route to compare")
    return theirs


def _test_images(subject: Subject) -> list[tuple[str, int]]:
    images = subject.run.images
    return sorted(zip(images.sha256, images.labels.tolist(), strict=True))
