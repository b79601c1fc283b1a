"""The result of inspecting one image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from router.decision import PASS, REJECT, REVIEW, Decision, Route
from router.gate import FIGURES
from router.policy import RoutingPolicy
from tool_side.runtime.session import StudentOutput
from wafer_data.image_ref import ImageRef

STEPS = ("decode", "gate", "lowres", "full", "reconstruction", "total")
MAP, LATENT, RECONSTRUCTION, IMAGE, TILES = "map", "latent", "reconstruction", "image", "tiles"
APPEARANCE, LOWRES_LATENT = "appearance", "lowres_latent"


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was decided about one image, why, and what speaks for it. It does not change once it is made.

    Attributes:
        source: path of the image, "<bytes>" or "<array>".
        ref: which image this is about, without its data.
        decision: PASS, REVIEW or REJECT.
        route: deepest stage that scored the image; NONE when it could not be scored.
        score: routed, standardised score (robust standard deviations of normal log-scores); None if not scored.
        scores: raw score of each stage that ran, as it left the graph.
        reasons: why the decision is not PASS, in plain words; empty for PASS.
        evidence: whatever else is known, by name. The runtime gives "map" (heat map of the deepest stage, float32
            (h, w), >= 0, never rescaled per image), "latent" (float32 (k,)), "lowres_latent" (that of the
            low-resolution stage, whatever the route), "appearance" (float32 (5,), what the quality gate measured, in
            the order of `router.gate.FIGURES`), on request "reconstruction" and "image" (the model input), both float32
            (S, S) in [0, 1]; of a flagged image, where the bundle has a classifier or bins are given, "defect"
            (`DefectFinding.to_dict` of the strongest) and "defects" (of all). Of a large image
            (docs/tiling.md) the map covers it all, "image" is at the scale of the tiles, (H, W), scores and latent are
            those of the deciding tile, "tiles" says how many there are, how many were escalated, and where the deciding
            one lies in the image's pixels; there is no "reconstruction". Others add to it with :meth:`with_evidence`;
            what is no array is JSON-ready and stands in :meth:`to_dict`.
        seconds: wall time of each step of STEPS; 0 for a step that did not run.
        unreadable: whether the image could not even be decoded.
        recipe: the name it was inspected under; None where none was named.
        bundle: `Bundle.id` of the bundle that decided; None for a result of none.
        inspected: when.
    """

    source: str
    decision: Decision
    ref: ImageRef = field(default_factory=ImageRef)
    route: Route = Route.NONE
    score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    unreadable: bool = False
    recipe: str | None = None
    bundle: str | None = None
    inspected: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        for name in _MAPPINGS:
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy cannot be sent to another process, a dict can
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return _remade, (type(self), values | {name: dict(values[name]) for name in _MAPPINGS})

    @property
    def judged(self) -> bool:
        """Whether the decision rests on a score."""
        return self.score is not None

    @property
    def lowres_score(self) -> float | None:
        """Raw score of the low-resolution stage; None if it did not run."""
        return self.scores.get(Route.LOWRES)

    @property
    def full_score(self) -> float | None:
        """Raw score of the full stage; None if it did not run."""
        return self.scores.get(Route.FULL)

    @property
    def map(self) -> np.ndarray | None:
        """The heat map; None if no stage ran."""
        return self.evidence.get(MAP)

    @property
    def latent(self) -> np.ndarray | None:
        """The latent vector of the deepest stage; None if none ran."""
        return self.evidence.get(LATENT)

    @property
    def appearance(self) -> dict[str, float] | None:
        """Brightness, contrast, sharpness and the like by name, as the quality gate measured; None if not readable."""
        values = self.evidence.get(APPEARANCE)
        return None if values is None else dict(zip(FIGURES, values.tolist(), strict=True))

    @property
    def reconstruction(self) -> np.ndarray | None:
        """What the decoder draws of the latent, (S, S) or of colour (3, S, S); None if it was not asked for."""
        return self.evidence.get(RECONSTRUCTION)

    @property
    def image(self) -> np.ndarray | None:
        """The model input, (S, S) or of colour (3, S, S); None if it was not asked for."""
        return self.evidence.get(IMAGE)

    def with_evidence(self, **more: Any) -> Self:
        """The same result with more evidence: arrays, or JSON-ready values."""
        return replace(self, evidence={**self.evidence, **more})

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form without the arrays; numbers that are not finite become None.

        `recipe`, `image` (what is known of it beyond its path) and `evidence` stand there only where there is some.
        """
        about = {
            key: value for key, value in self.ref.to_dict().items() if key not in ("path", "sha256", "recipe")
        }
        more = {key: value for key, value in self.evidence.items() if not isinstance(value, np.ndarray)}
        return {
            "source": self.source,
            **({} if self.recipe is None else {"recipe": self.recipe}),
            **({"image": about} if about else {}),
            "decision": self.decision.value,
            "route": self.route.value,
            "score": _number(self.score),
            "lowres_score": _number(self.lowres_score),
            "full_score": _number(self.full_score),
            "reasons": list(self.reasons),
            **({"evidence": more} if more else {}),
            "seconds": {step: round(value, 7) for step, value in self.seconds.items()},
        }


_MAPPINGS = ("scores", "evidence", "seconds")


def _remade(kind: type[Inspection], values: dict[str, Any]) -> Inspection:
    return kind(**values)


class Draft:
    """A result in the making: REVIEW, until a score says otherwise. Its fields are those of :class:`Inspection`."""

    def __init__(self, ref: ImageRef, recipe: str | None, bundle: str | None) -> None:
        self._about: dict[str, Any] = {"source": ref.source, "ref": ref.without_data(), "recipe": recipe}
        self._about["bundle"] = bundle
        self.recipe = recipe
        self.decision, self.route, self.score = REVIEW, Route.NONE, None  # type: Decision, Route, float | None
        self.reasons: list[str] = []
        self.scores: dict[str, float] = {}
        self.evidence: dict[str, Any] = {}
        self.seconds = dict.fromkeys(STEPS, 0.0)
        self.unreadable = False

    def take(self, stage: Route, output: StudentOutput) -> None:
        """A stage has scored the image."""
        self.route, self.scores[stage.value] = stage, output.score
        self.evidence |= {MAP: output.map, LATENT: output.latent}
        if stage == Route.LOWRES:
            self.evidence[LOWRES_LATENT] = output.latent

    def decide(self, decision: Decision, score: float, policy: RoutingPolicy) -> None:
        """The route has ended.

        Args:
            score: Routed, standardised; not finite where a stage gave no usable score.
        """
        self.decision = decision
        if math.isfinite(score):
            self.score = score
            self.reasons += _score_reasons(decision, score, policy)
        else:
            low, full = (self.scores.get(stage) for stage in (Route.LOWRES, Route.FULL))
            self.reasons.append(f"a model gave no usable score (low-resolution {low}, full {full})")

    def fail(self, reason: str) -> None:
        """Whatever was found before: this image is not scored, and a person must look."""
        self.decision, self.score = REVIEW, None
        self.reasons.append(reason)

    def finished(self, seconds: float) -> Inspection:
        """The result.

        Args:
            seconds: Wall time of all.
        """
        self.seconds["total"] = seconds
        return Inspection(
            **self._about,
            decision=self.decision,
            route=self.route,
            score=self.score,
            scores=self.scores,
            reasons=tuple(self.reasons),
            evidence=self.evidence,
            seconds=self.seconds,
            unreadable=self.unreadable,
        )


def _score_reasons(decision: Decision, score: float, policy: RoutingPolicy) -> list[str]:
    """Why a scored image did not PASS, in words; empty if it did."""
    if decision is PASS:
        return []
    if decision is REJECT:
        return [f"score {score:.3f} above the reject threshold {policy.reject_above:.3f}"]
    return [f"score {score:.3f} above the review threshold {policy.review_above:.3f}"]


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
