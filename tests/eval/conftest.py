"""A made-up evaluation with every part a report can show, drawn from random numbers with fixed seeds."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from eval.latency import Latency
from eval.metrics import bootstrap_interval, fnr_at_fpr, image_auprc, image_auroc, per_type_auroc
from eval.report.extras import Extras
from eval.results import DataSummary, Evaluation, Example, ModelResult, Parity, Provenance
from eval.routing import measure_routing
from eval.tradeoff.budget import answer
from eval.tradeoff.config import FabConfig
from eval.tradeoff.month import compute_month, prices_of
from eval.tradeoff.points import Point, Study
from eval.tradeoff.thresholds import RouteTimes, threshold_points
from router.gate import QualityGate
from router.policy import RoutingPolicy
from router.route_scores import RouteScores

# The tests' tensors are tiny: more threads would only wait for each other.
torch.set_num_threads(1)

POLICY = RoutingPolicy(
    lowres_location=2.0,
    lowres_scale=0.1,
    full_location=3.0,
    full_scale=0.08,
    escalate_above=1.5,
    full_weight=1.0,
    review_above=1.7,
    reject_above=3.5,
    gate=QualityGate(
        ranges=dict.fromkeys(("mean", "std", "black_share", "white_share", "sharpness"), (0.0, 1e9)),
        fitted_on=100,
    ),
)


def raw_scores(labels: np.ndarray, shift: float, location: float, scale: float, seed: int) -> np.ndarray:
    """Raw positive scores whose standardised logarithm is N(0, 1) for normals, N(shift, 1.3) for defects."""
    rng = np.random.default_rng(seed)
    z = np.where(labels == 1, rng.normal(shift, 1.3, len(labels)), rng.normal(0, 1, len(labels)))
    return np.exp(location + scale * z)


def example(kind: str, decision: str, route: str, seed: int, masked: bool) -> Example:
    rng = np.random.default_rng(seed)
    texture = gaussian_filter(rng.normal(size=(64, 64)), 2)
    grey = np.clip(0.5 + 0.8 * texture, 0, 1)
    mask = np.zeros((64, 64), dtype=bool)
    mask[30:40, 20:44] = masked
    grey = np.where(mask, 0.8 * grey, grey).astype(np.float32)
    heat = 0.7 + 8 * gaussian_filter(rng.normal(size=(64, 64)), 6) + gaussian_filter(mask.astype(float), 4)
    shown = None if route == "none" else heat.astype(np.float32)
    return Example(
        f"test/{kind}/{seed:03d}.png", kind, decision, route, 1.23, grey, shown, mask if masked else None
    )


@pytest.fixture
def policy() -> RoutingPolicy:
    return POLICY


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """190 normals, 160 defects of three types, all nine models."""
    labels = np.repeat([0, 1], [190, 160])
    types = ["good"] * 190 + ["blowhole"] * 80 + ["crack"] * 50 + ["fray <deep>"] * 30
    lowres, full = raw_scores(labels, 3.4, 2.0, 0.1, 1), raw_scores(labels, 4.6, 3.0, 0.08, 2)
    route = RouteScores(lowres, full, np.arange(350) == 7)
    routing = replace(
        measure_routing(POLICY, labels, route),
        mean_latency_ms=0.62,
        mean_latency_test_set_ms=1.9,
        always_full_latency_ms=2.7,
    )
    strengths = {
        "pca": (0.9, 205_000, 64, 0.21),
        "gabor_lbp_ocsvm": (1.4, 12_000, 128, 14.0),
        "pixel_vae": (0.8, 26_000_000, 256, 14.3),
        "teacher": (4.9, 4_100_000, 256, 7.1),
        "intermediate": (4.7, 1_050_000, 256, 3.1),
        "target": (4.7, 1_050_000, 256, 3.1),
    }
    scores = {name: raw_scores(labels, s[0], 1.0, 0.2, k) for k, (name, s) in enumerate(strengths.items())}
    scores |= {"full": full, "lowres": lowres, "routed": route.under(POLICY).ranks}
    sizes = {name: s[1:] for name, s in strengths.items()}
    sizes |= {"full": (1_050_000, 256, 2.2), "lowres": (310_000, 64, 0.2), "routed": (1_360_000, 256, 0.6)}
    models = {}
    for name, values in scores.items():
        parameters, size, time = sizes[name]
        intervals = {
            key: bootstrap_interval(metric, labels, values, n=100)
            for key, metric in (
                ("image_auroc", image_auroc),
                ("image_auprc", image_auprc),
                ("fnr_at_fpr5", fnr_at_fpr),
            )
        }
        models[name] = ModelResult(
            name=name,
            parameters=parameters,
            input_size=size,
            scores=values,
            image_auroc=image_auroc(labels, values),
            image_auprc=image_auprc(labels, values),
            fnr_at_fpr5=fnr_at_fpr(labels, values),
            pixel_auroc=None if name == "gabor_lbp_ocsvm" else 0.93,
            pixel_aupro=None if name == "gabor_lbp_ocsvm" else 0.81,
            per_type=per_type_auroc(labels, values, types),
            intervals=intervals,
            latency=Latency(mean=time * 1.02, p50=time, p99=time * 1.4, runs=200),
            engine="the engine of its making",
        )
    return Evaluation(
        data=DataSummary("made-up tiles", 610, 152, 190, 160, 0, ["3 masks mark no pixel"]),
        labels=labels,
        types=types,
        models=models,
        routing=routing,
        provenance=Provenance(
            run="made-up",
            created="2000-01-01 00:00 UTC",
            versions={"python": "3.11", "numpy": "2.4"},
            machine="a test",
            data_fingerprint="0123abcd",
            split_seed=0,
            evaluation_seed=0,
            config_text="data:\n  name: <made-up>\n",
        ),
        certificate={
            "assumptions": ["Calibration images resemble those of production."],
            "synthetic": {"n": 152, "miss_rate": 0.0625, "note": "painted defects"},
        },
        parity=Parity(350, 0, 0, 2.1e-6, 3.3e-6),
        misses=[example("crack", "PASS", "lowres" if k % 2 else "full", k, masked=k != 2) for k in range(5)],
        false_alarms=[
            example("good", *outcome, seed=20 + k, masked=False)
            for k, outcome in enumerate([("REJECT", "full"), ("REVIEW", "full"), ("REVIEW", "none")])
        ],
    )


@pytest.fixture(scope="session")
def without_defects() -> Callable[[Evaluation], Evaluation]:
    """Cuts the defects out of an evaluation, as for a folder of normal images alone."""

    def cut(whole: Evaluation) -> Evaluation:
        normal = whole.labels == 0
        labels = whole.labels[normal]
        lowres, full = (whole.models[name].scores[normal] for name in ("lowres", "full"))
        models = {
            name: ModelResult(
                name,
                model.parameters,
                model.input_size,
                model.scores[normal],
                latency=model.latency,
                engine=model.engine,
            )
            for name, model in whole.models.items()
        }
        return replace(
            whole,
            data=replace(whole.data, test_defect=0),
            labels=labels,
            types=["good"] * len(labels),
            models=models,
            routing=measure_routing(POLICY, labels, RouteScores(lowres, full)),
            misses=[],
        )

    return cut


@pytest.fixture(scope="session")
def extras(evaluation: Evaluation) -> Extras:
    """Everything that a page can show beside the evaluation, made up."""
    speeds = {"lowres": 0.3, "full": 2.1, "routed": 0.7}
    points = [
        Point(
            model=name,
            batch=batch,
            threads=threads,
            mean_ms=time * batch * 1.07 / threads,
            p50_ms=time * batch / threads,
            p99_ms=time * batch * 1.9 / threads,
            runs=123,
            images_per_second=1000 * threads / (1.07 * time),
            timed="made up",
            typical_ms=time / threads,
            input_size=evaluation.models[name].input_size,
            memory_bytes=120_000_000 + 1_500_000 * batch,
            disk_bytes=3_400_000,
            image_auroc=evaluation.models[name].image_auroc,
            fnr_at_fpr5=evaluation.models[name].fnr_at_fpr5,
        )
        for name, time in speeds.items()
        for threads in (1, 2)
        for batch in (1, 8, 32, 64)
    ]
    normal = evaluation.models["lowres"].scores[evaluation.labels == 0]
    lowres, full = (evaluation.models[name].scores for name in ("lowres", "full"))
    scores = RouteScores(lowres, full, np.arange(350) == 7)
    times = RouteTimes(np.linspace(0.4, 0.5, 50), np.linspace(2.4, 3.1, 50))
    study = Study(
        mode="full",
        measured="2000-01-02 00:00 UTC",
        machine="a made-up computer",
        cores=2,
        images=96,
        points=points,
        thresholds=threshold_points(POLICY, evaluation.labels, scores, normal, times),
        low_ms=0.45,
        full_ms=2.3,
        notes=["No GPU was found, so nothing was timed on one."],
    )
    fab = FabConfig()
    return Extras(
        study=study,
        budgets=[answer(budget, points) for budget in fab.all_budgets],
        fab=compute_month(evaluation, points, fab, prices_of(None, {})),
        calibration_z=np.random.default_rng(5).normal(size=152),
        just_kept=[example("crack", "PASS", "lowres", 40, masked=True)],
        just_escalated=[example("good", "PASS", "full", 41, masked=False)],
        augmentation={"reasons": {"horizontal_flip": "this surface has no such symmetry"}},
    )
