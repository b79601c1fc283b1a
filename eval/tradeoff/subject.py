"""A run to measure, and how a measurement of it becomes a point."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics import fnr_at_fpr, image_auroc
from eval.results import Evaluation
from eval.run import FinishedRun
from eval.tradeoff.points import Point
from wafer_data.files import read_json


@dataclass(frozen=True)
class Subject:
    """A run with its evaluation.

    Attributes:
        indices: Of the run's test images in its store, in the order of `evaluation`.
        name: Of another run than the report's; "" for that one.
    """

    run: FinishedRun
    evaluation: Evaluation
    indices: np.ndarray
    name: str = ""

    def point(
        self, model: str, row: dict[str, Any], threads: int, timed: str, disk: int, **other: Any
    ) -> Point:
        """The point of a measured row (a `Timing` with memory_bytes).

        Args:
            other: Fields that differ from the usual.
        """
        fields: dict[str, Any] = {
            "model": model,
            "batch": row["batch"],
            "threads": threads,
            "mean_ms": row["mean"],
            "p50_ms": row["p50"],
            "p99_ms": row["p99"],
            "runs": row["runs"],
            "images_per_second": row["images_per_second"],
            "timed": timed,
            "typical_ms": row["p50"] / row["batch"],
            "run": self.name,
            "memory_bytes": row["memory_bytes"],
            "disk_bytes": disk,
            **self.known(model),
        }
        return Point(**{**fields, **other})

    def evaluated_point(self, model: str) -> Point | None:
        """The point of a model as the evaluation timed it, one image on one thread; None if it was not timed."""
        latency, engine = self.evaluation.models[model].latency, self.evaluation.models[model].engine
        if latency is None:
            return None
        return Point(
            model=model,
            batch=1,
            threads=1,
            mean_ms=latency.mean,
            p50_ms=latency.p50,
            p99_ms=latency.p99,
            runs=latency.runs or None,
            images_per_second=1e3 / latency.mean,
            timed=f"{engine or 'model alone'}, during the evaluation",
            typical_ms=latency.p50,
            run=self.name,
            **self.known(model),
        )

    def known(self, model: str) -> dict[str, Any]:
        """What is known of a model without measuring it, as fields of a point."""
        found = self.evaluation.models[model]
        return {
            "input_size": found.input_size,
            "width": student_width(self.run.folder / model),
            "image_auroc": found.image_auroc,
            "fnr_at_fpr5": found.fnr_at_fpr5,
        }

    def accuracy(self, scores: np.ndarray) -> dict[str, float | None]:
        """The accuracy of scores (N,) of the test images, as fields of a point; None where a class is missing."""
        labels = self.evaluation.labels
        if not ((labels == 0).any() and (labels == 1).any()):
            return {"image_auroc": None, "fnr_at_fpr5": None}
        return {"image_auroc": image_auroc(labels, scores), "fnr_at_fpr5": fnr_at_fpr(labels, scores)}


def student_width(folder: Path) -> float | None:
    """Relative width of the student in `folder`; None where there is no student."""
    path = folder / "student.json"
    content = read_json(path) if path.is_file() else None
    config = content.get("student") if isinstance(content, dict) else None
    width = config.get("width") if isinstance(config, dict) else None
    return float(width) if isinstance(width, int | float) else None
