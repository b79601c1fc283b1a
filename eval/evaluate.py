"""Evaluate a run: every model and the routed system on the test images, then `report/` as a whole.

The test images are read here for the first time; nothing is fitted, chosen or calibrated on them.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.baselines.summary import summarise_baselines
from eval.config import EvalConfig
from eval.examples import make_example, worst_false_alarms, worst_misses
from eval.judge import judge_model
from eval.latency import Latency, measure_latency
from eval.metrics.sketch import ImageSketch
from eval.metrics.sketch_file import write_sketches
from eval.predictions import predictions, sketches
from eval.provenance import describe
from eval.report.remake import first_page, short_study
from eval.results import DataSummary, Evaluation, ModelResult
from eval.routing import judge_routing, ranking_scores
from eval.scorers import Scorer, load_scorers
from eval.scoring import TestScores, score_test_images
from eval.tool_run import ENGINE, ToolRun, compare, graph_latency, run_inspector
from eval.training_curve import to_csv
from router.policy import RoutingPolicy
from tool_side import Bundle, load_bundle
from tool_side.export.write import export_bundle
from wafer_data.errors import InputError
from wafer_data.files import new_directory, read_json, write_json, write_text
from wafer_data.progress import Progress
from wafer_data.store import ImageStore

# Different images for timing: enough not to sit in the processor's cache, few enough to hold.
_TIMED_IMAGES = 48


def evaluate_run(run_dir: Path, config: EvalConfig) -> dict[str, Any]:
    """Judge the run in `run_dir` and write `report/` (report.json, report.html, parity.json, predictions.json,
    baselines.json, page.json, latency.json, pixels.npz for `waferroute compare`, and the losses of a baseline
    trained in epochs as NAME_losses.csv).

    Scores all test images with the configured baselines and with each model whose folder exists; with both
    students and `router/policy.json` also the routed system, timed and checked on a bundle exported for the
    purpose. The folder is replaced as a whole or, on failure, left as it was. Returns the content of
    report.json.

    Raises `InputError` when data or every model are missing, when there is no test image, or a file is
    damaged.
    """
    run_dir = Path(run_dir)
    with Progress():
        evaluation, images, pixels, bundle = _evaluate(run_dir, config)
        study = short_study(run_dir, evaluation, bundle, config.study_seconds)
    report = evaluation.to_report_json()
    with new_directory(run_dir / "report") as folder:
        write_json(folder / "predictions.json", images)
        write_json(folder / "baselines.json", evaluation.baselines)
        if pixels:
            write_sketches(folder / "pixels.npz", pixels)
        for name, curve in evaluation.curves.items():
            write_text(folder / f"{name}_losses.csv", to_csv(curve))
        if evaluation.parity is not None:
            write_json(folder / "parity.json", evaluation.parity.to_json())
        first_page(folder, run_dir, evaluation, bundle, study, config.fab)
        write_json(folder / "report.json", report)
    return report


@dataclass(frozen=True)
class _Route:
    """The calibrated route of a run, exported."""

    policy: RoutingPolicy
    bundle: Bundle

    @property
    def references(self) -> dict[str, float]:
        return {name: entry.map_reference for name, entry in self.bundle.models.items()}


def _evaluate(
    run_dir: Path, config: EvalConfig
) -> tuple[Evaluation, dict[str, Any], dict[str, dict[int, ImageSketch]], Bundle | None]:
    store = ImageStore.open(run_dir / "data")
    if len(store.indices("test")) == 0:
        raise InputError(f"{run_dir / 'data'} holds no test image: evaluation has nothing to look at")
    scorers = load_scorers(run_dir, store, config)
    route = _exported_route(run_dir, scorers)
    found = score_test_images(
        store,
        scorers,
        route.policy if route else None,
        route.references if route else None,
        config.batch_size,
    )
    tool = run_inspector(route.bundle, store, found.indices) if route else None
    latencies = _latencies(store, found, scorers, route, config)
    models = {name: _judged(name, scorers, found, latencies, config) for name in scorers}
    evaluation = Evaluation(
        data=DataSummary(name=store.name, **store.counts()),
        labels=found.labels,
        types=found.types,
        models=models,
        routing=None,
        provenance=describe(run_dir, store, config.seed),
        curves={name: scorer.losses for name, scorer in scorers.items() if scorer.losses},
    )
    if route is not None and tool is not None:
        evaluation = _with_route(evaluation, run_dir, store, found, scorers, route, tool, config)
    scores = {name: model.scores for name, model in evaluation.models.items()}
    curves = summarise_baselines(found.labels, scores, found.variants, evaluation.curves)
    evaluation = replace(evaluation, baselines=curves)
    bundle = route.bundle if route else None
    return evaluation, predictions(evaluation, store, found), sketches(found), bundle


def _exported_route(run_dir: Path, scorers: Mapping[str, Scorer]) -> _Route | None:
    """The policy and students as the tool would get them, in memory; None if the run has no route."""
    if not {"lowres", "full"} <= set(scorers) or not (run_dir / "router" / "policy.json").is_file():
        return None
    with tempfile.TemporaryDirectory() as temporary:
        export_bundle(run_dir, Path(temporary) / "bundle")
        bundle = load_bundle(Path(temporary) / "bundle")
    return _Route(bundle.policy, bundle)


def _latencies(
    store: ImageStore,
    found: TestScores,
    scorers: Mapping[str, Scorer],
    route: _Route | None,
    config: EvalConfig,
) -> dict[str, tuple[Latency, str]]:
    """Latency and engine of each model alone; the students' as exported graphs where there is an export."""
    rows = np.unique(np.linspace(0, len(found.indices) - 1, _TIMED_IMAGES).round().astype(int))
    images = store.batch(found.indices[rows])
    measured = {}
    for name, scorer in scorers.items():
        if route is not None and name in route.bundle.models:
            measured[name] = graph_latency(route.bundle, name, images, config.latency_runs), ENGINE
        else:
            one_by_one = [image[None] for image in images]
            measured[name] = (
                measure_latency(scorer.score, one_by_one, runs=config.latency_runs),
                scorer.engine,
            )
    return measured


def _judged(
    name: str,
    scorers: Mapping[str, Scorer],
    found: TestScores,
    latencies: Mapping[str, tuple[Latency, str]],
    config: EvalConfig,
) -> ModelResult:
    latency, engine = latencies[name]
    return judge_model(
        name,
        found.scores[name],
        found.labels,
        found.types,
        found.pixels.get(name),
        parameters=scorers[name].parameters,
        input_size=scorers[name].input_size,
        latency=latency,
        engine=engine,
        bootstrap=config.bootstrap,
        seed=config.seed,
    )


def _with_route(
    evaluation: Evaluation,
    run_dir: Path,
    store: ImageStore,
    found: TestScores,
    scorers: Mapping[str, Scorer],
    route: _Route,
    tool: ToolRun,
    config: EvalConfig,
) -> Evaluation:
    lowres, full = found.scores["lowres"], found.scores["full"]
    routing = judge_routing(route.policy, found.labels, lowres, full, found.refused)
    # On a tool nearly every image is normal; a test set made of defects would show a route that hardly exists.
    usual = found.labels == 0 if (found.labels == 0).any() else np.ones(len(found.labels), bool)
    full_latency = evaluation.models["full"].latency
    assert full_latency is not None
    routing = replace(
        routing,
        mean_latency_ms=tool.latency(usual).mean,
        mean_latency_test_set_ms=tool.latency().mean,
        always_full_latency_ms=tool.always_full_ms(full_latency),
    )
    routed = judge_model(
        "routed",
        ranking_scores(routing),
        found.labels,
        found.types,
        found.pixels.get("routed"),
        parameters=scorers["lowres"].parameters + scorers["full"].parameters,
        input_size=scorers["full"].input_size,
        latency=tool.latency(usual),
        engine=f"{ENGINE} in the tool-side runtime",
        bootstrap=config.bootstrap,
        seed=config.seed,
    )
    certificate = run_dir / "router" / "certificate.json"
    misses, alarms = (
        [make_example(int(row), store, found, routing, scorers, route.references) for row in rows]
        for rows in (
            worst_misses(routing, found.labels, config.worst),
            worst_false_alarms(routing, found.labels, config.worst),
        )
    )
    return replace(
        evaluation,
        models={**evaluation.models, "routed": routed},
        routing=routing,
        certificate=read_json(certificate) if certificate.is_file() else None,
        parity=compare(tool, routing, lowres, full, [store.records[i].path for i in found.indices]),
        misses=misses,
        false_alarms=alarms,
    )
