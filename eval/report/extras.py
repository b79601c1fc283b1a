"""What the report shows beside the evaluation itself: the study of times, the fab's month, images at the boundary."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from eval.found_types import find_types
from eval.report.shown import boundary_rows, examples
from eval.results import Evaluation, Example
from eval.run import FinishedRun
from eval.tool_run import BundleStudents
from eval.tradeoff.budget import Answer, answer
from eval.tradeoff.config import FabConfig
from eval.tradeoff.month import MonthlyFigures, compute_month, prices_of
from eval.tradeoff.points import Study


@dataclass(frozen=True)
class Extras:
    """Everything is optional: None or empty where the run has nothing of it.

    Attributes:
        fab: The line's month.
        budgets: The budgets' answers.
        calibration_z: Standardised low-resolution scores of the calibration normals.
        just_kept, just_escalated: Images at the escalation threshold.
        augmentation: Why students saw which copies of the images.
        questions: What the teacher asks, and the evidence for it (`teacher/questions.json`).
        synthetic_data: How the data set was made, if by a program.
        errors: Content of the error analysis.
        classes: `FoundTypes` of the test images, JSON-ready: by the bundle's classifier, else as the error analysis has
            it.
        errors_page: Its page, relative to the report.
    """

    study: Study | None = None
    budgets: list[Answer] = field(default_factory=list)
    fab: MonthlyFigures | None = None
    calibration_z: np.ndarray | None = None
    just_kept: list[Example] = field(default_factory=list)
    just_escalated: list[Example] = field(default_factory=list)
    augmentation: dict[str, Any] | None = None
    questions: dict[str, Any] | None = None
    synthetic_data: str | None = None
    errors: dict[str, Any] | None = None
    classes: dict[str, Any] | None = None
    errors_page: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What of it belongs into page.json: all figures that lie in no other file."""
        return {
            "synthetic_data": self.synthetic_data,
            "budgets": [asdict(one) for one in self.budgets if one.considered],
            "classes": self.classes,
            "fab": None if self.fab is None else asdict(self.fab),
            "boundary": {
                name: [{"path": one.path, "score": one.score} for one in shown]
                for name, shown in (("just_kept", self.just_kept), ("just_escalated", self.just_escalated))
            },
        }


def collect_extras(
    run: FinishedRun,
    evaluation: Evaluation,
    indices: np.ndarray,
    study: Study | None,
    fab: FabConfig,
    prices: dict[str, float] | None = None,
) -> Extras:
    """Look into the run folder.

    Args:
        prices: Of wrong decisions where they differ from those of `router.costs`.
    """
    points = study.points if study else []
    page = run.optional("report/page.json")
    # what an earlier report said about the data's making, should their folder have moved
    before = page.get("synthetic_data") if isinstance(page, dict) else None
    extras = Extras(
        study=study,
        budgets=[answer(budget, points) for budget in fab.all_budgets] if points else [],
        fab=compute_month(evaluation, points, fab, prices_of(evaluation.certificate, prices or {})),
        augmentation=run.optional("full/augmentation.json"),
        questions=run.optional("teacher/questions.json"),
        synthetic_data=run.synthetic or before,
        errors=run.optional("errors/errors.json"),
        errors_page="../errors/errors.html" if (run.folder / "errors" / "errors.html").is_file() else None,
    )
    if evaluation.routing is None:
        return extras
    bundle = run.bundle
    if bundle.classes is not None:
        extras = replace(extras, classes=find_types(run.store, bundle, indices).to_json())
    elif extras.errors is not None:
        extras = replace(extras, classes=extras.errors.get("classes"))
    students = BundleStudents(bundle)
    kept, escalated = (
        examples(rows, evaluation, run, indices, students) for rows in boundary_rows(evaluation.routing)
    )
    return replace(
        extras,
        calibration_z=run.policy.standardise_lowres(run.calibration["lowres"]),
        just_kept=kept,
        just_escalated=escalated,
    )
