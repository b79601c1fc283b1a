"""The analysis itself: score, decide, list, group, explain."""

from typing import Any

import numpy as np

from eval.config import EvalConfig
from eval.errors.by_type import extremes, median_area, median_contrast, type_rows
from eval.errors.findings import Error, ErrorAnalysis, Kind, Mode
from eval.errors.levers import Levers
from eval.errors.listing import Lister, Normality
from eval.errors.mitigations import Context, mitigate
from eval.errors.modes import RULES
from eval.errors.operating_point import Decided, Model, decide_full, decide_routed, full_threshold
from eval.errors.seen import REFERENCES, Measuring
from eval.errors.totals import (
    comparisons,
    count_errors,
    measure_defects,
    median,
    operating_point,
    points_of,
)
from eval.provenance import describe
from eval.run import FinishedRun
from router.config import RouterConfig
from wafer_data.errors import InputError
from wafer_data.spread import spread


def analyse(measuring: Measuring, model: Model, router: RouterConfig, config: EvalConfig) -> ErrorAnalysis:
    """Decide on every test image at the operating point of `model` and explain what went wrong."""
    run = measuring.run
    store, policy = run.store, run.policy
    test = store.indices("test")
    if not len(test):
        raise InputError(f"{run.folder / 'data'} holds no test image: there is nothing to analyse")
    ordinary = spread(store.indices("calibration", label=0), REFERENCES)
    normality = Normality.of(measuring.measure(ordinary, "calibration normals"))
    seen = measuring.measure(test, "test images")
    labels = np.array([store.records[i].label for i in test])
    threshold = full_threshold(run.calibration, policy, router.flag_rate) if model == "full" else None
    decided = (
        decide_routed(policy, seen.scores)
        if threshold is None
        else decide_full(policy, threshold, seen.scores)
    )
    lister = Lister(measuring, seen, decided, normality)
    rows = _rows_of_errors(decided, labels)
    errors = {kind: lister.errors(chosen, kind) for kind, chosen in rows.items()}
    levers = Levers(run.calibration, policy, router, model, seen.scores, labels, decided.passed)
    context = _context(measuring, levers, decided, labels)
    defects = measure_defects(store, seen, decided, labels)
    types = type_rows(defects)
    easiest, hardest = extremes(defects, types)
    return ErrorAnalysis(
        data=store.name,
        model=model,
        operating_point=operating_point(policy, threshold, router),
        counts=count_errors(decided, labels),
        modes=[mode for kind in rows for mode in _modes(kind, errors[kind], rows[kind], context)],
        types=types,
        easiest=easiest,
        hardest=hardest,
        comparisons=comparisons(defects, seen, decided, labels),
        errors=[*errors["missed"], *errors["false alarm"]],
        points=points_of(defects),
        synthetic=run.synthetic is not None,
        provenance=describe(run.folder, store, config.seed),
    )


def _rows_of_errors(decided: Decided, labels: np.ndarray) -> dict[Kind, np.ndarray]:
    """Places of misses and of false alarms among the test images, each the worst first, those without a score last."""
    missed = np.flatnonzero((labels == 1) & decided.passed)
    alarms = np.flatnonzero((labels == 0) & ~decided.passed)
    height = np.nan_to_num(decided.margin, nan=-np.inf)
    return {
        "missed": missed[np.argsort(height[missed], kind="stable")],
        "false alarm": alarms[np.argsort(-height[alarms], kind="stable")],
    }


def _modes(kind: Kind, errors: list[Error], rows: np.ndarray, context: Context) -> list[Mode]:
    """The modes that occur, the most frequent first."""
    modes = []
    for rule in (rule for rule in RULES if rule.kind == kind):
        places = [i for i, error in enumerate(errors) if error.mode == rule.key]
        if not places:
            continue
        members = [errors[i] for i in places]
        advice, figures = mitigate(rule.key, members, rows[places], context)
        modes.append(
            Mode(
                key=rule.key,
                kind=kind,
                name=rule.name,
                rule=rule.words,
                count=len(members),
                share=len(members) / len(errors),
                figures=_described(members) | figures,
                mitigation=advice,
            )
        )
    return sorted(modes, key=lambda mode: -mode.count)


def _described(errors: list[Error]) -> dict[str, Any]:
    masked = [error.defect for error in errors if error.defect is not None]
    types, counts = np.unique([error.type for error in errors], return_counts=True)
    return {
        "by_type": {str(types[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")},
        "median_margin": median([error.margin for error in errors if error.margin is not None]),
        "median_area": median_area(masked),
        "median_contrast": median_contrast(masked),
        "at_edge": sum(one.at_edge for one in masked) if masked else None,
        "median_similarity": median([error.similarity for error in errors]),
    }


def _context(measuring: Measuring, levers: Levers, decided: Decided, labels: np.ndarray) -> Context:
    run, students = measuring.run, measuring.students
    mean_ms, full_ms = _times(run) if levers.model == "routed" else (None, None)
    blank = np.zeros_like(run.store.pixels(0))
    return Context(
        levers=levers,
        normals=int(np.sum(labels == 0)),
        defects=int(np.sum(labels == 1)),
        missed=int(np.sum(decided.passed & (labels == 1))),
        false_alarms=int(np.sum(~decided.passed & (labels == 0))),
        mean_ms=mean_ms,
        full_ms=full_ms,
        map_side={name: len(graph(blank).map) for name, graph in students.graphs.items()},
        size=run.store.size,
    )


def _times(run: FinishedRun) -> tuple[float | None, float | None]:
    """Milliseconds of a routed normal image and of the full student, where the run has a report."""
    report = run.optional("report/report.json") or {}
    full = report.get("models", {}).get("full", {}).get("latency_ms", {}).get("p50")
    return report.get("routing", {}).get("mean_latency_ms"), full
