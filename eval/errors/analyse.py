"""The analysis itself: judge, collect, group, explain."""

from pathlib import Path
from typing import Any

import numpy as np

from eval.config import EvalConfig
from eval.errors.by_type import extremes, median_area, median_contrast, type_rows
from eval.errors.collect import Collector, Normality
from eval.errors.findings import Error, ErrorAnalysis, Kind, Mode
from eval.errors.judge import (
    REFERENCES,
    KnownNormals,
    Measured,
    measure_images,
)
from eval.errors.levers import Levers
from eval.errors.mitigations import Context, mitigate
from eval.errors.modes import RULES
from eval.errors.opened import Run
from eval.errors.operating_point import Judgement, Model, judge_full, judge_routed
from eval.errors.totals import (
    comparisons,
    count_errors,
    measure_defects,
    median,
    operating_point,
    points_of,
)
from eval.provenance import describe
from router.config import RouterConfig
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.spread import spread


def analyse(run: Run, model: Model, router: RouterConfig, config: EvalConfig) -> ErrorAnalysis:
    """Judge every test image at the operating point of `model` and explain what went wrong."""
    store, policy = run.store, run.policy
    test = store.indices("test")
    if not len(test):
        raise InputError(f"{run.folder / 'data'} holds no test image: there is nothing to analyse")
    ordinary = spread(store.indices("calibration", label=0), REFERENCES)
    known = KnownNormals.of(store, run.students, config.batch_size)

    def measure(indices: np.ndarray, title: str) -> Measured:
        return measure_images(store, run.students, policy.gate, known, indices, config.batch_size, title)

    normality = Normality.of(measure(ordinary, "calibration normals"))
    seen = measure(test, "test images")
    labels = np.array([store.records[i].label for i in test])
    threshold = run.scores.full_threshold(policy, router.flag_rate) if model == "full" else None
    judged = (
        judge_routed(policy, seen.lowres, seen.full, seen.refused)
        if threshold is None
        else judge_full(policy, threshold, seen.full, seen.refused)
    )
    collector = Collector(store, run.students, policy.gate, run.references, seen, judged, normality)
    rows = _rows_of_errors(judged, labels)
    errors = {kind: collector.errors(chosen, kind) for kind, chosen in rows.items()}
    levers = Levers(run.scores, policy, router, model, seen, labels, judged.passed)
    context = _context(run, levers, judged, labels)
    defects = measure_defects(store, seen, judged, labels)
    types = type_rows(defects)
    easiest, hardest = extremes(defects, types)
    return ErrorAnalysis(
        data=store.name,
        model=model,
        operating_point=operating_point(policy, threshold, router),
        counts=count_errors(judged, labels),
        modes=[mode for kind in rows for mode in _modes(kind, errors[kind], rows[kind], context)],
        types=types,
        easiest=easiest,
        hardest=hardest,
        comparisons=comparisons(defects, seen, judged, labels),
        errors=[*errors["missed"], *errors["false alarm"]],
        points=points_of(defects),
        synthetic=all(Path(store.records[i].path).name.startswith("synthetic_") for i in test),
        provenance=describe(run.folder, store, config.seed),
    )


def _rows_of_errors(judged: Judgement, labels: np.ndarray) -> dict[Kind, np.ndarray]:
    """Places of misses and of false alarms among the test images, each the worst first, unjudged ones last."""
    missed = np.flatnonzero((labels == 1) & judged.passed)
    alarms = np.flatnonzero((labels == 0) & ~judged.passed)
    height = np.nan_to_num(judged.margin, nan=-np.inf)
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


def _context(run: Run, levers: Levers, judged: Judgement, labels: np.ndarray) -> Context:
    times = _times(run.folder) if levers.model == "routed" else (None, None)
    return Context(
        levers=levers,
        normals=int(np.sum(labels == 0)),
        defects=int(np.sum(labels == 1)),
        missed=int(np.sum(judged.passed & (labels == 1))),
        false_alarms=int(np.sum(~judged.passed & (labels == 0))),
        mean_ms=times[0],
        full_ms=times[1],
        map_side={name: getattr(run.students, name).likelihood.map_side for name in ("lowres", "full")},
        size=run.store.size,
    )


def _times(folder: Path) -> tuple[float | None, float | None]:
    """Milliseconds of a routed normal image and of the full student, as the run's own report has them."""
    path = folder / "report" / "report.json"
    if not path.is_file():
        return None, None
    report = read_json(path)
    routed = report.get("routing", {}).get("mean_latency_ms")
    full = report.get("models", {}).get("full", {}).get("latency_ms", {}).get("p50")
    return routed, full
