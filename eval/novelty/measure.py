"""Leaves out every type of a run and simulates how soon each would be noticed."""

from eval.config import EvalConfig
from eval.novelty.findings import Novelty
from eval.novelty.frozen import Chosen, FrozenStudents
from eval.novelty.leave_one_out import Route, leave_one_out
from eval.novelty.settings import NoveltySettings
from eval.novelty.simulate import simulate
from eval.provenance import describe
from eval.run import FinishedRun
from router.config import RouterConfig
from router.route_scores import STUDENTS
from student_vae import load_student
from wafer_data.errors import InputError


def assess(run: FinishedRun, settings: NoveltySettings, router: RouterConfig, config: EvalConfig) -> Novelty:
    """Measure and simulate. Raises `InputError` when the run lacks a part, or its test set a class."""
    held_out, streams = leave_one_out(open_route(run, router), settings.per_type, settings.seed)
    return Novelty(
        data=run.store.name,
        settings=settings,
        held_out=held_out,
        times=simulate(held_out, streams, settings),
        trained_with_labels=len(run.store.indices("train", label=1)),
        synthetic=run.synthetic is not None,
        provenance=describe(run.folder, run.store, config.seed),
    )


def open_route(run: FinishedRun, router: RouterConfig) -> Route:
    """Features of a run's images, as both of its students give them. Raises `InputError` without both classes."""
    chosen, policy = Chosen.of(run.store), run.policy
    for label, what in ((0, "normal"), (1, "defective")):
        if not (chosen.truth == label).any():
            raise InputError(
                f"the test set holds no {what} image: leaving types out needs normals and defects"
            )
    students = {name: load_student(run.folder / name) for name in STUDENTS}
    return Route(FrozenStudents(students, run, chosen), chosen, policy, router)
