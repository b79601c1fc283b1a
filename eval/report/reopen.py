"""An evaluation read back from its report folder: nothing is scored again."""

import csv
import platform
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.provenance import describe
from eval.report import facts
from eval.results import DataSummary, Evaluation, ModelResult, Parity, Provenance, RoutingResult
from eval.routing import judge_routing, ranking_scores
from eval.training_curve import EpochLosses
from router.policy import RoutingPolicy
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.store import ImageStore

_UNKNOWN = "at an unknown time, by an earlier version"


@dataclass(frozen=True)
class Reopened:
    """evaluation: without pictures. indices: of the test images in `store`, in the evaluation's order."""

    evaluation: Evaluation
    store: ImageStore
    indices: np.ndarray
    policy: RoutingPolicy | None


def reopen(run_dir: Path) -> Reopened:
    """Read `report/` of an evaluated run, with its data and policy.

    Raises `InputError` when there is no report, a file is damaged, or data or policy are no longer those that the
    report was made from.
    """
    folder = run_dir / "report"
    if not (folder / "report.json").is_file():
        raise InputError(f"{run_dir} holds no report: run `waferroute evaluate` or `waferroute run` first")
    report, predictions = (read_json(folder / f"{name}.json") for name in ("report", "predictions"))
    page = read_json(folder / facts.FILE) if (folder / facts.FILE).is_file() else {}
    store = ImageStore.open(run_dir / "data")
    try:
        indices = _test_rows(store, predictions, run_dir)
        images = predictions["images"]
        labels = np.array([image["label"] for image in images], dtype=np.int64)
        evaluation = Evaluation(
            data=DataSummary(**report["data"]),
            labels=labels,
            types=[image["type"] for image in images],
            models=_models(report, page, images),
            routing=None,
            provenance=_provenance(page, run_dir, store),
            certificate=_optional(run_dir / "router" / "certificate.json"),
            parity=_parity(folder / "parity.json"),
            baselines=_optional(folder / "baselines.json"),
            curves=_curves(folder),
        )
        policy = _policy(run_dir, images)
        if policy is not None:
            evaluation = _with_routing(evaluation, policy, report, page, images, run_dir)
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"{folder} is damaged ({error!r}): run `waferroute evaluate` again") from error
    return Reopened(evaluation, store, indices, policy)


def _test_rows(store: ImageStore, predictions: dict[str, Any], run_dir: Path) -> np.ndarray:
    if predictions["data_fingerprint"] != store.fingerprint:
        raise InputError(f"{run_dir}: the data are not those of the report; run `waferroute evaluate` again")
    rows = {store.records[i].path: int(i) for i in store.indices("test")}
    return np.array([rows[image["path"]] for image in predictions["images"]], dtype=np.int64)


def _models(
    report: dict[str, Any], page: dict[str, Any], images: list[dict[str, Any]]
) -> dict[str, ModelResult]:
    found = {}
    for name, entry in report["models"].items():
        more = page.get("models", {}).get(name, {})
        intervals = more.get("intervals") or entry.get("intervals") or {}
        scores = [image["scores"].get(name, np.nan) for image in images]
        found[name] = ModelResult(
            name=name,
            parameters=entry["params"],
            input_size=entry["input_size"],
            scores=np.array(scores, dtype=np.float64),
            image_auroc=entry["image_auroc"],
            image_auprc=entry["image_auprc"],
            fnr_at_fpr5=entry["fnr_at_fpr5"],
            pixel_auroc=entry["pixel_auroc"],
            pixel_aupro=entry["pixel_aupro"],
            per_type=entry["per_type"],
            per_type_fnr_at_fpr5=entry.get("per_type_fnr_at_fpr5", {}),
            intervals=_intervals(intervals),
            per_type_intervals={
                kind: _intervals(both) for kind, both in entry.get("per_type_intervals", {}).items()
            },
            latency=facts.latency_of(more.get("latency"), entry["latency_ms"]),
            engine=more.get("engine", ""),
        )
    return found


def _intervals(found: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {name: (ends[0], ends[1]) for name, ends in found.items() if ends is not None}


def _provenance(page: dict[str, Any], run_dir: Path, store: ImageStore) -> Provenance:
    if "provenance" in page:
        return Provenance(**page["provenance"])
    # What an earlier version did not write down is not guessed: today's versions need not be those of the run.
    now = describe(run_dir, store, 0)
    versions = {"python": platform.python_version(), "note": "versions of the evaluation were not recorded"}
    return replace(now, created=_UNKNOWN, versions=versions, machine="not recorded")


def _parity(path: Path) -> Parity | None:
    content = _optional(path)
    if content is None:
        return None
    return Parity(**{one.name: content[one.name] for one in fields(Parity)})


def _curves(folder: Path) -> dict[str, tuple[EpochLosses, ...]]:
    found = {}
    for path in sorted(folder.glob("*_losses.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [_epoch(row) for row in csv.DictReader(file)]
        found[path.name.removesuffix("_losses.csv")] = tuple(rows)
    return found


def _epoch(row: dict[str, str]) -> EpochLosses:
    numbers = {name: float(value) for name, value in row.items() if name != "epoch"}
    return EpochLosses(epoch=int(row["epoch"]), **numbers)


def _policy(run_dir: Path, images: list[dict[str, Any]]) -> RoutingPolicy | None:
    if not images or "route" not in images[0]:
        return None
    return RoutingPolicy.from_dict(read_json(run_dir / "router" / "policy.json"))


def _with_routing(
    evaluation: Evaluation,
    policy: RoutingPolicy,
    report: dict[str, Any],
    page: dict[str, Any],
    images: list[dict[str, Any]],
    run_dir: Path,
) -> Evaluation:
    refused = np.array([image["route"] == "none" for image in images])
    lowres, full = (evaluation.models[name].scores for name in ("lowres", "full"))
    routing: RoutingResult = judge_routing(policy, evaluation.labels, lowres, full, refused)
    if routing.decisions.tolist() != [image["decision"] for image in images]:
        raise InputError(
            f"{run_dir / 'router' / 'policy.json'} decides otherwise than the report says: run `waferroute evaluate` "
            "again"
        )
    routing = replace(
        routing,
        mean_latency_ms=report["routing"]["mean_latency_ms"],
        mean_latency_test_set_ms=(page.get("routing") or {}).get("mean_latency_test_set_ms"),
        always_full_latency_ms=report["routing"]["always_full_latency_ms"],
    )
    routed = replace(evaluation.models["routed"], scores=ranking_scores(routing))
    return replace(evaluation, routing=routing, models={**evaluation.models, "routed": routed})


def _optional(path: Path) -> Any:
    return read_json(path) if path.is_file() else None
