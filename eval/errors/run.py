"""Analyses the errors of a finished run and writes the result as one folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.config import EvalConfig
from eval.errors.findings import ErrorAnalysis
from eval.errors.gallery import take_shots
from eval.errors.measure import analyse
from eval.errors.operating_point import Model
from eval.errors.page import render_page
from eval.errors.seen import Measuring
from eval.found_types import find_types
from eval.pages import folder as result_folder
from eval.run import FinishedRun
from router.config import RouterConfig
from tool_side import Bundle, load_bundle
from wafer_data.files import new_directory, read_json, write_json, write_text
from wafer_data.progress import Progress

PAGE, FIGURES = "errors.html", "errors.json"


def analyse_errors(
    run_dir: Path,
    out: Path,
    model: Model = "routed",
    router: RouterConfig | None = None,
    config: EvalConfig | None = None,
    classes: Path | None = None,
) -> dict[str, Any]:
    """Explain every missed defect and false alarm of the run in `run_dir` and write `out`: errors.html, errors.json.

    The operating point is the calibrated one: of the routed system, its policy; of the full student alone,
    the score that `router.flag_rate` of the calibration normals exceed. Test images choose nothing.

    Args:
        classes: A bundle whose classifier says which types the flagged images' defects are; default the run's own,
            where that has one.
        router: The settings that the run was calibrated with; default: those that its certificate states.
            Memory holds a few hundred bytes a test image, and one batch of images. The folder is replaced as
            a whole or, on failure, left as it was. Returns the content of errors.json.

    Raises:
        InputError: When data, calibration or bundle are missing or damaged, when there is no test image, or
            `out` cannot be written or holds something else than an earlier analysis.
    """
    require_replaceable(out)
    with new_directory(out) as folder:
        with Progress():
            run = FinishedRun(run_dir)
            run.require_squares("the error analysis")
            measuring = Measuring.of(run)
            found = analyse(measuring, model, router or run.router, config or EvalConfig())
            found = _with_types(found, run, run.bundle if classes is None else load_bundle(classes), classes)
            shots = take_shots(found, run, measuring.students)
            found = replace(found, shown={kind: len(taken) for kind, taken in shots.items()})
            write_json(folder / FIGURES, found.to_json())
            write_text(folder / PAGE, render_page(found, shots))
        content: dict[str, Any] = read_json(folder / FIGURES)
    return content


def _with_types(found: ErrorAnalysis, run: FinishedRun, bundle: Bundle, asked: Path | None) -> ErrorAnalysis:
    """The analysis with the types that the bundle's classifier gives, where it has one or one was asked for."""
    if bundle.classes is None and asked is None:
        return found
    types = find_types(run.store, bundle, run.store.indices("test"))
    said = {index: str(defect["type"]) for index, defect in types.images.items()}
    return replace(
        found,
        classes=types,
        errors=[replace(error, said=said.get(error.index)) for error in found.errors],
    )


def require_replaceable(out: Path) -> None:
    """Raise InputError unless `out` is missing, empty, or holds an earlier analysis and nothing else."""
    result_folder.require_replaceable(out, {PAGE, FIGURES}, "an error analysis")
