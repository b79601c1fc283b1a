"""Each test image as every model saw it: what all figures of the report follow from."""

from typing import Any

import numpy as np

from eval.metrics.sketch import ImageSketch
from eval.results import Evaluation
from eval.scoring import TestScores
from wafer_data.store import ImageStore


def predictions(evaluation: Evaluation, store: ImageStore, found: TestScores) -> dict[str, Any]:
    """Each test image with all scores and the decision: what every figure of the report was computed from."""
    routing = evaluation.routing
    images = []
    for row, index in enumerate(found.indices):
        record = store.records[index]
        entry: dict[str, Any] = {
            "path": record.path,
            "sha256": record.sha256,
            "label": record.label,
            "type": record.type,
        }
        entry["scores"] = {name: float(values[row]) for name, values in found.scores.items()}
        if routing is not None:
            standard = float(routing.routed_standard[row])
            entry["routed_score"] = standard if np.isfinite(standard) else None
            entry["decision"], entry["route"] = str(routing.decisions[row]), str(routing.routes[row])
        images.append(entry)
    return {"schema": 1, "data_fingerprint": store.fingerprint, "images": images}


def sketches(found: TestScores) -> dict[str, dict[int, ImageSketch]]:
    """The pixels of each counted test image, by model and row, as `waferroute compare` needs them."""
    return {
        name: dict(zip(rows, found.pixels[name].sketches, strict=True))
        for name, rows in found.pixel_rows.items()
    }
