"""What an analysis says about all test images together: rates, medians of errors against the others."""

from typing import Any

import numpy as np

from eval.errors.by_type import TypedDefects
from eval.errors.findings import Comparison, Kind
from eval.errors.operating_point import Decided
from eval.errors.properties import DefectFigures, measure_defect
from eval.errors.seen import Measured
from eval.metrics import clopper_pearson
from router.config import RouterConfig
from router.gate import FIGURES
from router.policy import RoutingPolicy
from wafer_data.progress import track
from wafer_data.spread import spread
from wafer_data.store import ImageStore

POINTS = 2000
"""At most this many defects are drawn as points, evenly spaced."""


def operating_point(policy: RoutingPolicy, threshold: float | None, router: RouterConfig) -> dict[str, Any]:
    """Thresholds on standardised scores, and the rates that they were calibrated for."""
    rates = {"flag_rate": router.flag_rate, "chosen_on": "calibration normals"}
    if threshold is not None:
        return {"review_above": threshold, **rates}
    return {
        "escalate_above": policy.escalate_above,
        "review_above": policy.review_above,
        "reject_above": policy.reject_above,
        "escalation_target": router.escalation_target,
        **rates,
    }


def count_errors(decided: Decided, labels: np.ndarray) -> dict[str, Any]:
    """Misses and false alarms with exact 95 % intervals; labels (N,)."""
    found: dict[str, Any] = {}
    for kind, label, wrong in (("missed", 1, decided.passed), ("false_alarms", 0, ~decided.passed)):
        of, count = int(np.sum(labels == label)), int(np.sum(wrong & (labels == label)))
        found |= {
            "test_defects" if label else "test_normals": of,
            kind: count,
            "fnr" if label else "fpr": count / of if of else None,
            "fnr_interval" if label else "fpr_interval": clopper_pearson(count, of) if of else None,
        }
    return found


def measure_defects(store: ImageStore, seen: Measured, decided: Decided, labels: np.ndarray) -> TypedDefects:
    """Every defect of the test set with the figures of its mask, one image in memory at a time."""
    rows = np.flatnonzero(labels == 1)
    figures: list[DefectFigures | None] = []
    for row in track(rows, "measuring defects"):
        index = int(seen.indices[row])
        mask = store.mask(index)
        figures.append(None if mask is None else measure_defect(store.grey(index), mask))
    types = np.array([store.records[int(seen.indices[row])].type for row in rows], dtype=str)
    return TypedDefects(types, decided.passed[rows], decided.margin[rows], figures)


def comparisons(
    defects: TypedDefects, seen: Measured, decided: Decided, labels: np.ndarray
) -> list[Comparison]:
    """Medians of each property, errors against the images of the same label that were decided rightly."""
    lines = []
    for name in ("area", "contrast", "texture", "edge_distance"):
        values = np.array(
            [abs(v) if (v := getattr(one, name, None)) is not None else np.nan for one in defects.figures]
        )
        lines.append(_compared(name, "missed", values, defects.passed))
    wrong: dict[Kind, tuple[int, np.ndarray]] = {
        "missed": (1, decided.passed),
        "false alarm": (0, ~decided.passed),
    }
    for kind, (label, errors) in wrong.items():
        chosen = labels == label
        lines.append(_compared("similarity", kind, seen.similarity[chosen], errors[chosen]))
        for column, name in enumerate(FIGURES):
            lines.append(_compared(name, kind, seen.quality[chosen, column], errors[chosen]))
    return [line for line in lines if line.errors is not None or line.others is not None]


def _compared(name: str, kind: Kind, values: np.ndarray, errors: np.ndarray) -> Comparison:
    known = np.isfinite(values)
    return Comparison(name, kind, median(list(values[errors & known])), median(list(values[~errors & known])))


def points_of(defects: TypedDefects) -> list[tuple[float, float, bool]]:
    """Area, size of the contrast and whether it passed, of masked defects."""
    points = [
        (one.area, abs(one.contrast), bool(passed))
        for one, passed in zip(defects.figures, defects.passed, strict=True)
        if one is not None and one.contrast is not None
    ]
    chosen = spread(np.arange(len(points)), POINTS)
    return [points[i] for i in chosen]


def median(values: list[float]) -> float | None:
    """None of nothing."""
    return float(np.median(values)) if values else None
