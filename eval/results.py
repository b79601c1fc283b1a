"""Everything an evaluation found out: what `report.json` says, and what the HTML report draws besides."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from eval.latency import Latency
from eval.training_curve import EpochLosses

SCHEMA = 1


@dataclass(frozen=True)
class DataSummary:
    """How many images took which part."""

    name: str
    train_normal: int
    calibration_normal: int
    test_normal: int
    test_defect: int
    labelled_defects: int
    problems: list[str] = field(default_factory=list)
    """What was found wrong with the data, a line a kind (`wafer_data.problems`)."""


@dataclass(frozen=True)
class ModelResult:
    """One model on all test images. A metric that could not be computed is None."""

    name: str
    parameters: int
    input_size: int
    scores: np.ndarray
    """(N,) float64, one a test image, larger = stranger."""
    image_auroc: float | None = None
    image_auprc: float | None = None
    fnr_at_fpr5: float | None = None
    pixel_auroc: float | None = None
    pixel_aupro: float | None = None
    per_type: dict[str, float] = field(default_factory=dict)
    """Image AUROC of each defect type against all normals."""
    per_type_fnr_at_fpr5: dict[str, float] = field(default_factory=dict)
    """Share of each defect type missed at the threshold of `fnr_at_fpr5`."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap intervals of the metrics, by the metric's field name."""
    per_type_intervals: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    """Of each defect type's "image_auroc" and "fnr_at_fpr5", by type name."""
    latency: Latency | None = None
    engine: str = ""
    """What ran when the latency was measured, in words."""


@dataclass(frozen=True)
class RoutingResult:
    """The routed system under its calibrated policy. Rates are None where there is no image to count."""

    decisions: np.ndarray
    """(N,) of "PASS", "REVIEW" or "REJECT"."""
    routes: np.ndarray
    """(N,) of "lowres", "full" or "none" (refused by the quality gate)."""
    lowres_standard: np.ndarray
    """(N,) standardised low-resolution scores, on which `escalate_above` acts."""
    routed_standard: np.ndarray
    """(N,) standardised routed scores, on which `review_above` and `reject_above` act where escalated."""
    escalate_above: float
    review_above: float
    reject_above: float | None
    escalation_rate_normal: float | None
    escalation_rate: float | None
    missed: int
    fnr: float | None
    fnr_upper95: float | None
    false_alarms: int
    fpr: float | None
    curve_escalation: np.ndarray
    """(T,) share of normals escalated at each possible threshold, rising."""
    curve_missed: np.ndarray
    """(T,) share of defects passed at that threshold, `review_above` unchanged."""
    curve_kept: np.ndarray
    """(T,) share of defects that never reach the full model at that threshold: the floor of `curve_missed`.
    """
    mean_latency_ms: float | None = None
    """Mean over normal test images, which is nearly all that a tool sees (all images if none is normal)."""
    mean_latency_test_set_ms: float | None = None
    always_full_latency_ms: float | None = None


@dataclass(frozen=True)
class Parity:
    """How far the exported graphs depart from the PyTorch models, over all test images."""

    images: int
    decisions_differ: int
    routes_differ: int
    max_relative_lowres_deviation: float
    max_relative_full_deviation: float
    """Largest |onnx - torch| / |torch| of the raw scores; the full model over the images escalated on both
    sides.
    """
    differing_paths: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The content of `parity.json`."""
        return {
            "schema": SCHEMA,
            "images": self.images,
            "decisions_differ": self.decisions_differ,
            "routes_differ": self.routes_differ,
            "max_relative_lowres_deviation": _number(self.max_relative_lowres_deviation),
            "max_relative_full_deviation": _number(self.max_relative_full_deviation),
            "differing_paths": self.differing_paths,
        }


@dataclass(frozen=True)
class Example:
    """A test image shown in the report with what the routed system made of it."""

    path: str
    type: str
    decision: str
    route: str
    score: float
    grey: np.ndarray
    """(S, S) float in [0, 1]."""
    heat: np.ndarray | None
    """(h, w): map over the model's reference, so that 1 is the level few normal pixels reach."""
    mask: np.ndarray | None


@dataclass(frozen=True)
class Provenance:
    """What is needed to tell this run from another, or to repeat it."""

    run: str
    created: str
    versions: dict[str, str]
    machine: str
    data_fingerprint: str
    split_seed: int | None
    evaluation_seed: int
    config_text: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """One evaluated run."""

    data: DataSummary
    labels: np.ndarray
    """(N,) 0 normal, 1 defective, in the order of every other array here."""
    types: list[str]
    models: dict[str, ModelResult]
    routing: RoutingResult | None
    provenance: Provenance
    certificate: dict[str, Any] | None = None
    parity: Parity | None = None
    misses: list[Example] = field(default_factory=list)
    false_alarms: list[Example] = field(default_factory=list)
    curves: dict[str, tuple[EpochLosses, ...]] = field(default_factory=dict)
    """Losses of the baselines that were trained in epochs, by name."""
    baselines: dict[str, Any] | None = None
    """The content of `baselines.json`, see `eval.baselines.summary`."""
    bundle: str | None = None
    """`Bundle.id` of the bundle that was evaluated; None without a route."""

    def to_report_json(self) -> dict[str, Any]:
        """The content of `report.json`, schema 1: numbers or null, and the same keys in every report."""
        data = self.data
        return {
            "schema": SCHEMA,
            "data": {
                "name": data.name,
                "train_normal": data.train_normal,
                "calibration_normal": data.calibration_normal,
                "test_normal": data.test_normal,
                "test_defect": data.test_defect,
                "labelled_defects": data.labelled_defects,
            },
            "models": {name: _model_json(model) for name, model in self.models.items()},
            "routing": {key: _number(getattr(self.routing, key, None)) for key in _ROUTING_KEYS},
        }

    def to_page_json(self) -> dict[str, Any]:
        """What of it lies in no other file, for `page.json`: enough to read the evaluation back."""
        routing = self.routing
        return {
            "schema": SCHEMA,
            "bundle": self.bundle,
            "data_problems": list(self.data.problems),
            "provenance": asdict(self.provenance),
            "models": {
                name: {key: value for key, value in vars(model).items() if key not in ("scores", "latency")}
                | {"latency": None if model.latency is None else asdict(model.latency)}
                for name, model in self.models.items()
            },
            "routing": None if routing is None else {key: getattr(routing, key) for key in _PAGE_KEYS},
        }


_METRICS = ("image_auroc", "image_auprc", "fnr_at_fpr5", "pixel_auroc", "pixel_aupro")
_ROUTING_KEYS = (
    "escalation_rate_normal",
    "escalation_rate",
    "fnr",
    "fnr_upper95",
    "fpr",
    "mean_latency_ms",
    "always_full_latency_ms",
)
LATENCIES = ("mean_latency_ms", "mean_latency_test_set_ms", "always_full_latency_ms")
_PAGE_KEYS = ("missed", "false_alarms", "escalate_above", "review_above", "reject_above", *LATENCIES)


def _model_json(model: ModelResult) -> dict[str, Any]:
    latency = model.latency
    return {
        "params": model.parameters,
        "input_size": model.input_size,
        **{name: _number(getattr(model, name)) for name in _METRICS},
        "per_type": {name: _number(value) for name, value in model.per_type.items()},
        "per_type_fnr_at_fpr5": {name: _number(value) for name, value in model.per_type_fnr_at_fpr5.items()},
        "intervals": {name: _interval(model.intervals.get(name)) for name in _METRICS},
        "per_type_intervals": {
            name: {key: _interval(value) for key, value in intervals.items()}
            for name, intervals in model.per_type_intervals.items()
        },
        "latency_ms": {
            "p50": _number(latency.p50 if latency else None),
            "p99": _number(latency.p99 if latency else None),
        },
    }


def _interval(interval: tuple[float, float] | None) -> list[float] | None:
    """[low, high], or None where either is missing."""
    if interval is None or not all(math.isfinite(end) for end in interval):
        return None
    return [float(end) for end in interval]


def _number(value: float | None) -> float | None:
    """A plain float; None for what JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else float(value)
