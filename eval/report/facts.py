"""`report/page.json`: what the page says beyond `report.json`, so that it can be drawn again, and checked."""

from dataclasses import asdict
from typing import Any

from eval.latency import Latency
from eval.results import Evaluation, ModelResult

SCHEMA = 1
FILE = "page.json"


def facts(evaluation: Evaluation) -> dict[str, Any]:
    """Provenance, engines, timings, intervals, counts and thresholds of an evaluation, JSON-ready."""
    routing = evaluation.routing
    return {
        "schema": SCHEMA,
        "provenance": asdict(evaluation.provenance),
        "models": {name: _model(model) for name, model in evaluation.models.items()},
        "routing": None
        if routing is None
        else {
            "missed": routing.missed,
            "false_alarms": routing.false_alarms,
            "escalate_above": routing.escalate_above,
            "review_above": routing.review_above,
            "reject_above": routing.reject_above,
            "mean_latency_test_set_ms": routing.mean_latency_test_set_ms,
        },
    }


def latency_of(entry: dict[str, Any] | None, fallback: dict[str, Any]) -> Latency | None:
    """The latency in an entry of page.json; from report.json's two figures where there is none."""
    if entry is not None:
        return Latency(**entry)
    if fallback.get("p50") is None:
        return None
    # Reports of earlier versions kept no mean and no count; the median is the nearest thing to a mean.
    return Latency(mean=fallback["p50"], p50=fallback["p50"], p99=fallback["p99"], runs=0)


def _model(model: ModelResult) -> dict[str, Any]:
    return {
        "engine": model.engine,
        "latency": None if model.latency is None else asdict(model.latency),
        "intervals": {name: list(bounds) for name, bounds in model.intervals.items()},
    }
