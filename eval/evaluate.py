"""Measure a run on its test images: every model, the baselines, and the routed system as the tool runs it.

The test images are read here for the first time; nothing is fitted, chosen or calibrated on them. What the report
says of the route - decisions, routes, times - is the bundle's, in whatever precision it was exported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eval.baselines.summary import summarise_baselines
from eval.config import EvalConfig
from eval.latency import Latency, measure_latency
from eval.metrics.sketch import ImageSketch
from eval.model_metrics import measure_model
from eval.on_ray import TestPass
from eval.provenance import describe
from eval.results import DataSummary, Evaluation, ModelResult
from eval.routing import measure_routing
from eval.run import FinishedRun, ScoredImages
from eval.scorers import Scorer, load_scorers
from eval.scoring import TestScores, score_test_images
from eval.tool_run import ENGINE, BundleStudents, compare, graph_latency, run_inspector
from likelihood.arrays import on_arrays
from router.route_scores import STUDENTS
from student_vae import load_student
from tool_side import Bundle
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.problems import lines
from wafer_data.store import ImageStore

# Different images for timing: enough not to sit in the processor's cache, few enough to hold.
_TIMED_IMAGES = 48


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found out.

    Attributes:
        images: each test image as every model saw it.
        sketches: the pixels of test image n by model, as `waferroute compare` needs them.
    """

    evaluation: Evaluation
    images: ScoredImages
    sketches: dict[str, dict[int, ImageSketch]]


def evaluate(run: FinishedRun, config: EvalConfig) -> Evaluated:
    """Score all test images with the configured baselines and with each model whose folder exists.

    With both students and `router/policy.json` also with the route: the bundle's graphs score, its runtime is timed,
    and both are compared with PyTorch.

    Raises:
        InputError: data or every model are missing, there is no test image, the bundle of a run with a route is
            missing or of another policy, or a file is damaged.
    """
    store = run.store
    if len(store.indices("test")) == 0:
        raise InputError(f"{run.folder / 'data'} holds no test image: evaluation has nothing to look at")
    bundle = run.bundle if run.has_route else None
    students = BundleStudents(bundle) if bundle else None
    graphs = {name: graph.batch for name, graph in students.graphs.items()} if students else {}
    scorers = load_scorers(run.folder, store, config, graphs)
    fitted: dict[str, Scorer] = {n: scorer for n, scorer in scorers.items() if n in config.baselines}
    found = score_test_images(
        store,
        scorers,
        run.policy if bundle else None,
        students.references if students else None,
        {name: on_arrays(load_student(run.folder / name)) for name in graphs},
        elsewhere=TestPass(run.folder.absolute(), config, fitted, bundle is not None).elsewhere(),
    )
    latencies = _latencies(store, found, scorers, bundle, config)
    evaluation = Evaluation(
        data=DataSummary(name=store.name, **store.counts(), problems=_data_problems(run.folder)),
        labels=found.labels,
        types=found.types,
        models={
            name: _measured(scorers[name], found.scores[name], found, latencies[name], config)
            for name in scorers
        },
        routing=None,
        provenance=describe(run.folder, store, config.seed),
        curves={name: scorer.losses for name, scorer in scorers.items() if scorer.losses},
    )
    if bundle is not None:
        evaluation = _with_route(evaluation, run, bundle, found, scorers, config)
    records = [store.records[i] for i in found.indices]
    images = ScoredImages(
        paths=[record.path for record in records],
        sha256=[record.sha256 for record in records],
        labels=found.labels,
        types=found.types,
        scores=found.scores,
        routed=found.route.under(run.policy) if bundle else None,
        fingerprint=store.fingerprint,
        of_tiles=found.route if found.tiles is not None and bundle else None,
    )
    curves = summarise_baselines(found.labels, images.ranks, found.variants, evaluation.curves)
    sketches = {
        name: dict(zip(rows, found.pixels[name].sketches, strict=True))
        for name, rows in found.pixel_rows.items()
    }
    return Evaluated(replace(evaluation, baselines=curves), images, sketches)


def _data_problems(run_dir: Path) -> list[str]:
    path = run_dir / "data" / "problems.json"
    return lines(read_json(path)) if path.is_file() else []


def _latencies(
    store: ImageStore,
    found: TestScores,
    scorers: Mapping[str, Scorer],
    bundle: Bundle | None,
    config: EvalConfig,
) -> dict[str, Latency]:
    """Latency of each model alone."""
    rows = np.unique(np.linspace(0, len(found.indices) - 1, _TIMED_IMAGES).round().astype(int))
    images = store.batch(found.indices[rows])
    one_by_one = [image[None] for image in images]
    return {
        name: graph_latency(bundle, name, images, config.latency_runs)
        if bundle is not None and name in bundle.models
        else measure_latency(scorer.score, one_by_one, runs=config.latency_runs)
        for name, scorer in scorers.items()
    }


def _measured(
    scorer: Scorer, scores: np.ndarray, found: TestScores, latency: Latency, config: EvalConfig
) -> ModelResult:
    return measure_model(
        scorer.name,
        scores,
        found.labels,
        found.types,
        found.pixels.get(scorer.name),
        parameters=scorer.parameters,
        input_size=scorer.input_size,
        latency=latency,
        engine=scorer.engine,
        bootstrap=config.bootstrap,
        seed=config.seed,
    )


def _with_route(
    evaluation: Evaluation,
    run: FinishedRun,
    bundle: Bundle,
    found: TestScores,
    scorers: Mapping[str, Scorer],
    config: EvalConfig,
) -> Evaluation:
    tool = run_inspector(bundle, run.store, found.indices)
    routing = measure_routing(run.policy, found.labels, found.route)
    # On a tool nearly every image is normal; a test set made of defects would show a route that hardly exists.
    usual = found.labels == 0 if (found.labels == 0).any() else np.ones(len(found.labels), bool)
    full_latency = evaluation.models["full"].latency
    assert full_latency is not None
    routing = replace(
        routing,
        mean_latency_ms=tool.latency(usual).mean,
        mean_latency_test_set_ms=tool.latency().mean,
        always_full_latency_ms=tool.always_full_ms(full_latency, found.tiles),
    )
    both = replace(
        scorers["full"],
        name="routed",
        parameters=sum(scorers[name].parameters for name in STUDENTS),
        engine=f"{ENGINE} in the tool-side runtime",
    )
    ranks = found.route.under(run.policy).ranks
    routed = _measured(both, ranks, found, tool.latency(usual), config)
    reference = found.reference_route
    paths = [run.store.records[i].path for i in found.indices]
    return replace(
        evaluation,
        models={**evaluation.models, "routed": routed},
        routing=routing,
        certificate=run.certificate,
        parity=compare(tool, found.route, reference, run.policy, paths),
        bundle=run.bundle.id,
    )
