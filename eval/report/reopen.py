"""An evaluation read back from its report folder: nothing is scored again."""

import csv
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.current_route import require_current_route
from eval.latency import Latency
from eval.results import LATENCIES, DataSummary, Evaluation, ModelResult, Parity, Provenance
from eval.routing import measure_routing
from eval.run import FinishedRun
from eval.training_curve import EpochLosses
from wafer_data.errors import InputError


def reopen(run: FinishedRun) -> Evaluation:
    """The evaluation in a run's `report/`, without pictures.

    Raises:
        InputError: there is no report, a file is damaged, or data, policy or bundle are no longer those that the
            report was made from.
    """
    images, report, page, folder = run.images, run.report, run.page, run.folder / "report"
    if images.fingerprint != run.store.fingerprint:
        raise InputError(
            f"{run.folder}: the data are not those of the report; run `waferroute evaluate` again"
        )
    try:
        parity = run.optional("report/parity.json")
        evaluation = Evaluation(
            data=DataSummary(**report["data"], problems=page.get("data_problems", [])),
            labels=images.labels,
            types=images.types,
            models={name: _model(entry, images.ranks[name]) for name, entry in page["models"].items()},
            routing=None,
            provenance=Provenance(**page["provenance"]),
            certificate=run.certificate,
            parity=None
            if parity is None
            else Parity(**{one.name: parity[one.name] for one in fields(Parity)}),
            baselines=run.optional("report/baselines.json"),
            curves={
                path.name.removesuffix("_losses.csv"): _curve(path)
                for path in sorted(folder.glob("*_losses.csv"))
            },
            bundle=page["bundle"],
        )
        latencies = {name: page["routing"][name] for name in LATENCIES} if images.routed is not None else {}
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"{folder} is damaged ({error!r}): run `waferroute evaluate` again") from error
    return evaluation if images.routed is None else _with_routing(evaluation, run, latencies)


def test_indices(run: FinishedRun) -> np.ndarray:
    """Of the test images in the run's data, in the order of its report."""
    rows = {run.store.records[i].path: int(i) for i in run.store.indices("test")}
    return np.array([rows[path] for path in run.images.paths], dtype=np.int64)


def _model(entry: dict[str, Any], scores: np.ndarray) -> ModelResult:
    return ModelResult(
        **entry
        | {
            "scores": scores,
            "latency": None if entry["latency"] is None else Latency(**entry["latency"]),
            "intervals": _intervals(entry["intervals"]),
            "per_type_intervals": {
                kind: _intervals(both) for kind, both in entry["per_type_intervals"].items()
            },
        }
    )


def _intervals(found: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {name: (ends[0], ends[1]) for name, ends in found.items()}


def _curve(path: Path) -> tuple[EpochLosses, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return tuple(EpochLosses(**row | {"epoch": int(row["epoch"])}) for row in rows)  # type: ignore[arg-type]


def _with_routing(evaluation: Evaluation, run: FinishedRun, latencies: dict[str, Any]) -> Evaluation:
    require_current_route(run)
    routing = measure_routing(run.policy, run.images.labels, run.images.route_scores)
    return replace(evaluation, routing=replace(routing, **latencies))
