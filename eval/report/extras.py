"""What the report shows beside the evaluation itself: the study of times, the fab's month, images at the boundary."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.report.shown import boundary_rows, examples
from eval.results import Evaluation, Example
from eval.tradeoff.budget import Answer, answer, parse_budget
from eval.tradeoff.config import FabConfig
from eval.tradeoff.points import Study
from eval.tradeoff.reckoning import Reckoning, prices_of, reckon
from tool_side.bundle.load import Bundle
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.store import ImageStore

_MARK = "synthetic.json"  # lies beside data sets that `waferroute micrographs` made
_PREFIX = "synthetic_"


@dataclass(frozen=True)
class Extras:
    """Everything is optional: None or empty where the run has nothing of it.

    fab: the line reckoned for, and the month. budgets: the budgets' answers. calibration_z: standardised
    low-resolution scores of the calibration normals. just_kept, just_escalated: images at the escalation threshold.
    augmentation: why students saw which copies of the images. synthetic_data: how the data set was made, if by a
    program. errors: content of the error analysis; errors_page: its page,
    relative to the report.
    """

    study: Study | None = None
    budgets: list[Answer] = field(default_factory=list)
    fab: Reckoning | None = None
    calibration_z: np.ndarray | None = None
    just_kept: list[Example] = field(default_factory=list)
    just_escalated: list[Example] = field(default_factory=list)
    augmentation: dict[str, Any] | None = None
    synthetic_data: str | None = None
    errors: dict[str, Any] | None = None
    errors_page: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What of it belongs into page.json: all figures that lie in no other file."""
        return {
            "synthetic_data": self.synthetic_data,
            "budgets": [asdict(one) for one in self.budgets if one.considered],
            "fab": None if self.fab is None else asdict(self.fab),
            "boundary": {
                name: [{"path": one.path, "score": one.score} for one in shown]
                for name, shown in (("just_kept", self.just_kept), ("just_escalated", self.just_escalated))
            },
        }


def collect_extras(
    run_dir: Path,
    evaluation: Evaluation,
    store: ImageStore,
    indices: np.ndarray,
    bundle: Bundle | None,
    study: Study | None,
    fab: FabConfig,
    prices: dict[str, float] | None = None,
    synthetic_before: str | None = None,
) -> Extras:
    """Look into the run folder. prices: of wrong decisions where they differ from those of `router.costs`.
    synthetic_before: what an earlier report said about the data's making, should their folder have moved.
    """
    routing = evaluation.routing
    kept, escalated = boundary_rows(routing) if routing is not None else (np.empty(0, int), np.empty(0, int))
    points = study.points if study else []
    errors_page = run_dir / "errors" / "errors.html"
    return Extras(
        study=study,
        budgets=[answer(parse_budget(text, fab.lot), points) for text in fab.budgets] if points else [],
        fab=reckon(evaluation, points, fab, prices_of(evaluation.certificate, prices or {})),
        calibration_z=calibration_z(run_dir),
        just_kept=examples(kept, evaluation, store, indices, bundle) if routing else [],
        just_escalated=examples(escalated, evaluation, store, indices, bundle) if routing else [],
        augmentation=_optional(run_dir / "full" / "augmentation.json"),
        synthetic_data=synthetic_source(store) or synthetic_before,
        errors=_optional(run_dir / "errors" / "errors.json"),
        errors_page="../errors/errors.html" if errors_page.is_file() else None,
    )


def calibration_lowres(run_dir: Path) -> np.ndarray | None:
    """Raw low-resolution scores (n,) of the calibration normals; None if the run kept none."""
    content = _optional(run_dir / "router" / "calibration.json")
    scores = content.get("lowres") if isinstance(content, dict) else None
    return None if not scores else np.asarray(scores, dtype=np.float64)


def calibration_z(run_dir: Path) -> np.ndarray | None:
    """The same, standardised by the run's policy."""
    from router.policy import RoutingPolicy

    scores, policy = calibration_lowres(run_dir), run_dir / "router" / "policy.json"
    if scores is None or not policy.is_file():
        return None
    return RoutingPolicy.from_dict(read_json(policy)).standardise_lowres(scores)


def synthetic_source(store: ImageStore) -> str | None:
    """In words how a program made the data set; None for images that claim no such thing."""
    paths = [Path(record.path) for record in store.records]
    for folder in paths[0].parents[:4] if paths else ():
        manifest = _readable(folder / _MARK)
        if manifest is not None:
            config = manifest.get("config")
            layout = config.get("layout", "") if isinstance(config, dict) else ""
            return f"made by the program's own generator ({layout or 'micrographs'}, seed {manifest.get('seed')})"
    if paths and all(path.name.startswith(_PREFIX) for path in paths):
        return "made by the program's own generator, as the files' names say"
    return None


def shown_examples(extras: Extras) -> Sequence[Example]:
    """All pictures of the extras."""
    return [*extras.just_kept, *extras.just_escalated]


def _readable(path: Path) -> dict[str, Any] | None:
    try:
        content = _optional(path)
    except InputError:
        return None
    return content if isinstance(content, dict) else None


def _optional(path: Path) -> Any:
    return read_json(path) if path.is_file() else None
