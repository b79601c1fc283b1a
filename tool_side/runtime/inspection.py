"""The result of inspecting one image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from router.policy import RoutingPolicy

STEPS = ("decode", "gate", "lowres", "full", "reconstruction", "total")


@dataclass
class Inspection:
    """What was decided about one image, why, and what the models saw.

    Attributes:
        source: path of the image, "<bytes>" or "<array>". decision: "PASS", "REVIEW" or "REJECT". route:
        deepest model that ran: "lowres", "full", or "none" when the image could not be judged. score:
        routed, standardised score (spreads of a normal wafer's log-score); None if not judged.
        lowres_score, full_score: raw scores as they left the graphs; None where the graph did not run.
        reasons: why the decision is not PASS, in plain words; empty for PASS. map: heat map of the deepest
        model, float32 (h, w), >= 0, larger = stranger, never rescaled per image; or None. latent: its
        latent vector, float32 (k,); or None. reconstruction: float32 (S, S) in [0, 1], on request. image:
        the model input, float32 (S, S) in [0, 1], on request. seconds: wall time of each step of STEPS; 0
        for a step that did not run. unreadable: whether the image could not even be decoded. recipe: the
        name it was inspected under; None where none was named.
    """

    source: str
    decision: str
    route: str = "none"
    score: float | None = None
    lowres_score: float | None = None
    full_score: float | None = None
    reasons: list[str] = field(default_factory=list)
    map: np.ndarray | None = None
    latent: np.ndarray | None = None
    reconstruction: np.ndarray | None = None
    image: np.ndarray | None = None
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    unreadable: bool = False
    recipe: str | None = None

    @property
    def judged(self) -> bool:
        """Whether the decision rests on a score."""
        return self.score is not None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form without the arrays; numbers that are not finite become None, `recipe` only where named."""
        return {
            "source": self.source,
            **({} if self.recipe is None else {"recipe": self.recipe}),
            "decision": self.decision,
            "route": self.route,
            "score": _number(self.score),
            "lowres_score": _number(self.lowres_score),
            "full_score": _number(self.full_score),
            "reasons": list(self.reasons),
            "seconds": {step: round(value, 7) for step, value in self.seconds.items()},
        }


def score_reasons(result: Inspection, policy: RoutingPolicy) -> list[str]:
    """Why a judged image did not PASS, in words; empty if it did."""
    if result.decision == "PASS":
        return []
    if result.decision == "REJECT":
        return [f"score {result.score:.3f} above the reject threshold {policy.reject_above:.3f}"]
    return [f"score {result.score:.3f} above the review threshold {policy.review_above:.3f}"]


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
