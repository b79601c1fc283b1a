"""Assesses a finished run and writes the result as one folder."""

from pathlib import Path
from typing import Any

import numpy as np

from eval.config import EvalConfig
from eval.errors.opened import Run, open_run, settings_of
from eval.novelty.findings import Novelty
from eval.novelty.frozen import Chosen, FrozenStudent
from eval.novelty.leave_one_out import Route, leave_one_out
from eval.novelty.page import render_page
from eval.novelty.plot import draw_delays, standalone
from eval.novelty.settings import NoveltySettings
from eval.novelty.simulate import simulate
from eval.own_folder import require_own
from eval.provenance import describe
from router.config import RouterConfig
from router.gate import measure_quality
from wafer_data.errors import InputError
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
    """Leave one type out at a time, simulate how soon it is noticed, and write `out`: novelty.html, novelty.json and
    delay.svg.

    `router`: the settings that the run was calibrated with; default: those that its certificate states. Features of
    at most 2000 training normals, and of 1000 test images of a kind, are in memory: some GB at the most. The folder is
    replaced as a whole or, on failure, left as it was. Returns the content of novelty.json.

    Raises InputError when data, students or calibration are missing or damaged, when the test set lacks normals or
    defects, or `out` cannot be written or holds something else than an earlier assessment.
    """
    require_replaceable(out)
    settings = settings or NoveltySettings()
    with new_directory(out) as folder:
        with Progress():
            run = open_run(run_dir)
            found = _assess(run, settings, router or settings_of(run_dir), config or EvalConfig())
            plot = draw_delays(found.times)
            write_json(folder / FIGURES, found.to_json())
            write_text(folder / PICTURE, standalone(plot))
            write_text(folder / PAGE, render_page(found, plot))
        content: dict[str, Any] = read_json(folder / FIGURES)
    return content


def require_replaceable(out: Path) -> None:
    """Raise InputError unless `out` is missing, empty, or holds an earlier assessment and nothing else."""
    require_own(out, {PAGE, FIGURES, PICTURE}, "a novelty assessment")


def open_route(run: Run, router: RouterConfig) -> Route:
    """Features of a run's images, as both of its students give them. Raises `InputError` without both classes."""
    store, chosen = run.store, Chosen.of(run.store)
    for label, what in ((0, "normal"), (1, "defective")):
        if not (chosen.truth == label).any():
            raise InputError(
                f"the test set holds no {what} image: leaving types out needs normals and defects"
            )

    def refused(indices: np.ndarray) -> np.ndarray:
        gate = run.policy.gate
        return np.array([bool(gate.reasons(measure_quality(store.grey(int(i))))) for i in indices], bool)

    return Route(
        students={
            name: FrozenStudent(student, store, chosen, name)
            for name, student in (("lowres", run.students.lowres), ("full", run.students.full))
        },
        chosen=chosen,
        policy=run.policy,
        router=router,
        refused_calibration=refused(chosen.calibration),
        refused_test=refused(chosen.test),
    )


def _assess(run: Run, settings: NoveltySettings, router: RouterConfig, config: EvalConfig) -> Novelty:
    route = open_route(run, router)
    held_out = leave_one_out(route, settings.per_type, settings.seed)
    chosen = route.chosen
    return Novelty(
        data=run.store.name,
        settings=settings,
        held_out=held_out,
        times=simulate(held_out, settings),
        trained_with_labels=len(run.store.indices("train", label=1)),
        synthetic=all(
            Path(run.store.records[int(i)].path).name.startswith("synthetic_") for i in chosen.test
        ),
        provenance=describe(run.folder, run.store, config.seed),
    )
