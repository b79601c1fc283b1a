"""Rows of the report's tables."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.metrics import clopper_pearson_upper
from eval.pages.theme import SERIES, Series
from eval.results import Evaluation, ModelResult


@dataclass(frozen=True)
class ModelRow:
    """One model with the way it is drawn."""

    model: ModelResult
    series: Series


@dataclass(frozen=True)
class TypeRow:
    """One defect type: how many, how many passed, and how well each student tells it from normal."""

    name: str
    count: int
    missed: int | None
    missed_upper95: float | None
    auroc: dict[str, float]


def model_rows(evaluation: Evaluation) -> list[ModelRow]:
    """The models present, in the report's order."""
    return [
        ModelRow(evaluation.models[name], series)
        for name, series in SERIES.items()
        if name in evaluation.models
    ]


def timings(evaluation: Evaluation) -> dict[str, str]:
    """The names of the models timed with each engine."""
    found: dict[str, list[str]] = {}
    for row in model_rows(evaluation):
        if row.model.latency is not None and row.model.engine:
            found.setdefault(row.model.engine, []).append(row.series.label)
    return {engine: ", ".join(names) for engine, names in found.items()}


def type_rows(evaluation: Evaluation) -> list[TypeRow]:
    """Defect types, those with the largest share of misses first."""
    types, routing = np.asarray(evaluation.types), evaluation.routing
    rows = []
    for name in np.unique(types[evaluation.labels == 1]):
        members = (types == name) & (evaluation.labels == 1)
        count = int(members.sum())
        missed = None if routing is None else int(np.sum(routing.decisions[members] == "PASS"))
        rows.append(
            TypeRow(
                str(name),
                count,
                missed,
                None if missed is None else clopper_pearson_upper(missed, count),
                {
                    key: model.per_type[name]
                    for key, model in evaluation.models.items()
                    if name in model.per_type
                },
            )
        )
    return sorted(rows, key=lambda row: -(row.missed or 0) / row.count)


def synthetic_figures(certificate: dict[str, Any] | None) -> dict[str, Any]:
    """Plain numbers of the certificate that rest on synthetic defects, flattened; empty if there are none."""
    found: dict[str, Any] = {}
    for key, value in (certificate or {}).items():
        if "synthetic" in key:
            _flatten(key, value, found)
    return found


def _flatten(name: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{name} · {key}", inner, into)
    elif isinstance(value, list):
        into[name.replace("_", " ")] = ", ".join(_plain(item) for item in value)
    elif value is not None:
        into[name.replace("_", " ")] = _plain(value)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
