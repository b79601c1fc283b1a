"""Assesses a finished run and writes the result as one folder."""

from pathlib import Path
from typing import Any

from eval.config import EvalConfig
from eval.novelty.measure import assess
from eval.novelty.page import render_page
from eval.novelty.plot import draw_delays, standalone
from eval.novelty.settings import NoveltySettings
from eval.pages import folder as result_folder
from eval.run import FinishedRun
from router.config import RouterConfig
from wafer_data.files import new_directory, read_json, write_json, write_text
from wafer_data.progress import Progress

PAGE, FIGURES, PICTURE = "novelty.html", "novelty.json", "delay.svg"


def assess_novelty(
    run_dir: Path,
    out: Path,
    settings: NoveltySettings | None = None,
    router: RouterConfig | None = None,
    config: EvalConfig | None = None,
) -> dict[str, Any]:
    """Leave one type out at a time, simulate how soon it is noticed, and write `out`.

    Novelty.html, novelty.json and delay.svg.

    Args:
        router: The settings that the run was calibrated with; default: those that its certificate states.
            Features of at most 2000 training normals, and of 1000 test images of a kind, are in memory: some
            GB at the most. The folder is replaced as a whole or, on failure, left as it was. Returns the
            content of novelty.json.

    Raises:
        InputError: When data, students or calibration are missing or damaged, when the test set lacks normals
            or defects, or `out` cannot be written or holds something else than an earlier assessment.
    """
    require_replaceable(out)
    settings = settings or NoveltySettings()
    with new_directory(out) as folder:
        with Progress():
            run = FinishedRun(run_dir)
            run.require_squares("the analysis of new types")
            found = assess(run, settings, router or run.router, config or EvalConfig())
            plot = draw_delays(found.times)
            write_json(folder / FIGURES, found.to_json())
            write_text(folder / PICTURE, standalone(plot))
            write_text(folder / PAGE, render_page(found, plot))
        content: dict[str, Any] = read_json(folder / FIGURES)
    return content


def require_replaceable(out: Path) -> None:
    """Raise InputError unless `out` is missing, empty, or holds an earlier assessment and nothing else."""
    result_folder.require_replaceable(out, {PAGE, FIGURES, PICTURE}, "a novelty assessment")
