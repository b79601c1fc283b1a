"""Routing policy: from the two students' scores to a route and a decision. numpy only; runs on the tool.

One image: low-resolution score -> `escalate`? no: PASS. yes: full score -> `routed_score` -> `decide`. All
methods take arrays, work element by element, and so give one image the same route in any batch. Thresholds
live here and never in the exported graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from router.decision import PASS, REJECT, REVIEW, Decision, Route
from router.gate import QualityGate
from wafer_data.errors import PolicyError

SCHEMA = 1

_NUMBERS = (
    "lowres_location",
    "lowres_scale",
    "full_location",
    "full_scale",
    "escalate_above",
    "full_weight",
    "review_above",
)
_KEYS = {"schema", *_NUMBERS, "reject_above", "gate"}


class RoutedImage(NamedTuple):
    """One image's way: its routed score (NaN: no usable score), whether it was escalated, its decision."""

    score: float
    escalated: bool
    decision: Decision


class Stage(NamedTuple):
    """One scoring stage of the route.

    An image whose standardised score here is at most `pass_up_to` ends here, as PASS. At the last stage the routed
    score decides: above `review_above` REVIEW, above `reject_above` REJECT (None: nothing is rejected). location,
    scale: of the log-scores of normal images at this stage.
    """

    route: Route
    location: float
    scale: float
    pass_up_to: float
    review_above: float | None = None
    reject_above: float | None = None


@dataclass(frozen=True, kw_only=True)
class RoutingPolicy:
    """Everything that turns raw scores into decisions.

    Scores are standardised on calibration normals, z = (log(score) - location) / scale, so that both
    students speak in the same unit (robust standard deviations of normal log-scores) and the thresholds can be read.

    Attributes:
        lowres_location, lowres_scale: centre and spread of the low-resolution student's log-score; scale >
        0. full_location, full_scale: the same for the full student. escalate_above: an image with z_lowres
        above this goes on to the full student. full_weight: share of z_full in the routed score of an
        escalated image, in [0, 1]; the rest is z_lowres. review_above: an escalated image with a routed
        score above this is REVIEW. reject_above: ... above this is REJECT; None: nothing is rejected
        without a person. gate: quality gate that an image passes before any score is computed.

    Raises PolicyError when a number is not finite, a scale is not positive, full_weight lies outside [0, 1] or
    reject_above lies below review_above.
    """

    lowres_location: float
    lowres_scale: float
    full_location: float
    full_scale: float
    escalate_above: float
    full_weight: float = 1.0
    review_above: float
    reject_above: float | None
    gate: QualityGate

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            if not math.isfinite(getattr(self, name)):
                raise PolicyError(f"routing policy: {name} must be finite, got {getattr(self, name)}")
        for name in ("lowres_scale", "full_scale"):
            if getattr(self, name) <= 0:
                raise PolicyError(f"routing policy: {name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.full_weight <= 1:
            raise PolicyError(f"routing policy: full_weight must lie in [0, 1], got {self.full_weight}")
        if self.reject_above is not None and not self.review_above <= self.reject_above < math.inf:
            raise PolicyError(
                f"routing policy: reject_above ({self.reject_above}) must not lie below "
                f"review_above ({self.review_above})"
            )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The route as a list: the stages in the order in which an image meets them, with their thresholds."""
        return (
            Stage(Route.LOWRES, self.lowres_location, self.lowres_scale, self.escalate_above),
            Stage(
                Route.FULL,
                self.full_location,
                self.full_scale,
                self.review_above,
                self.review_above,
                self.reject_above,
            ),
        )

    def standardise_lowres(self, scores: ArrayLike) -> np.ndarray:
        """Z of raw low-resolution scores, any shape, float64; not finite where a score is not positive."""
        return _standardise(scores, self.lowres_location, self.lowres_scale)

    def standardise_full(self, scores: ArrayLike) -> np.ndarray:
        """Z of raw full-resolution scores, any shape, float64; not finite where a score is not positive."""
        return _standardise(scores, self.full_location, self.full_scale)

    def escalate(self, lowres_scores: ArrayLike) -> np.ndarray:
        """True where the full student must look too (bool, same shape), also where z_lowres is not finite."""
        return self._hard(self.standardise_lowres(lowres_scores))

    def routed_score(self, lowres_scores: ArrayLike, full_scores: ArrayLike) -> np.ndarray:
        """Standardised score of the whole route, same shape as the inputs, float64.

        z_lowres where the image is not escalated (`full_scores` is not looked at there and may be NaN),
        else full_weight z_full + (1 - full_weight) z_lowres. NaN where a score that the route needs is not
        positive and finite: :meth:`decide` turns that into REVIEW.
        """
        z_lowres = self.standardise_lowres(lowres_scores)
        z_full = self.standardise_full(full_scores)
        if z_lowres.shape != z_full.shape:
            raise ValueError(f"lowres_scores {z_lowres.shape} and full_scores {z_full.shape} differ in shape")
        with np.errstate(invalid="ignore"):
            blend = self._blend(z_lowres, z_full)
        routed = np.where(self._hard(z_lowres), blend, z_lowres)
        # Also where the weight of the broken score is 0: a graph that fails once is not to be trusted with
        # a PASS.
        return np.where(np.isfinite(z_lowres) & np.isfinite(routed), routed, np.nan)

    def route(self, ask: Callable[[Route], float]) -> RoutedImage:
        """One image along the whole route: the same as the methods on arrays, to the last bit, and faster.

        Args:
            ask: Gives the raw score of a stage's student; called for a stage only if the image comes that
                far.
        """
        z_lowres = float(self.standardise_lowres([ask(Route.LOWRES)])[0])
        finite = math.isfinite(z_lowres)
        escalated = z_lowres > self.escalate_above or not finite
        routed = z_lowres
        if escalated:
            routed = self._blend(z_lowres, float(self.standardise_full([ask(Route.FULL)])[0]))
        if not (finite and math.isfinite(routed)):
            return RoutedImage(math.nan, escalated, REVIEW)
        decision = PASS
        if escalated and routed > self.review_above:
            rejected = self.reject_above is not None and routed > self.reject_above
            decision = REJECT if rejected else REVIEW
        return RoutedImage(routed, escalated, decision)

    def _hard(self, z_lowres: np.ndarray) -> np.ndarray:
        return (z_lowres > self.escalate_above) | ~np.isfinite(z_lowres)

    def _blend(self, z_lowres: Any, z_full: Any) -> Any:
        return self.full_weight * z_full + (1 - self.full_weight) * z_lowres

    def decide(self, routed: ArrayLike, escalated: ArrayLike) -> np.ndarray:
        """Decide on each image: PASS, REVIEW or REJECT (array of str, same shape).

        Args:
            routed: From :meth:`routed_score`.
            escalated: Bool, from :meth:`escalate`. Not escalated: PASS. Escalated: by review_above and
                reject_above, both exceeded strictly. A score that is not finite is REVIEW, escalated or not.
        """
        routed = np.asarray(routed, dtype=np.float64)
        escalated = np.asarray(escalated, dtype=bool)
        if routed.shape != escalated.shape:
            raise ValueError(f"routed {routed.shape} and escalated {escalated.shape} differ in shape")
        decision = np.where(escalated & (routed > self.review_above), REVIEW, PASS)
        if self.reject_above is not None:
            decision = np.where(escalated & (routed > self.reject_above), REJECT, decision)
        return np.where(np.isfinite(routed), decision, REVIEW)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form (`policy.json`), read back by :meth:`from_dict`."""
        numbers = {name: float(getattr(self, name)) for name in _NUMBERS}
        reject_above = None if self.reject_above is None else float(self.reject_above)
        return {"schema": SCHEMA, **numbers, "reject_above": reject_above, "gate": self.gate.to_dict()}

    @classmethod
    def from_dict(cls, data: Any) -> RoutingPolicy:
        """Reads and checks what :meth:`to_dict` wrote.

        Raises:
            PolicyError: Naming the key that is wrong.
        """
        if not isinstance(data, Mapping):
            raise PolicyError("routing policy: expected a JSON object")
        if data.get("schema") != SCHEMA:
            raise PolicyError(
                f"routing policy: schema {data.get('schema')!r} is not supported, only {SCHEMA}; "
                "calibrate again with this version of waferroute"
            )
        missing, unknown = sorted(_KEYS - set(data)), sorted(set(data) - _KEYS)
        if missing or unknown:
            raise PolicyError(f"routing policy: missing keys {missing}, unknown keys {unknown}")
        for name in (*_NUMBERS, "reject_above"):
            value = data[name]
            allowed = isinstance(value, int | float) and not isinstance(value, bool)
            if not allowed and not (name == "reject_above" and value is None):
                raise PolicyError(f"routing policy: {name} must be a number, got {value!r}")
        gate = QualityGate.from_dict(data["gate"])
        return cls(**{name: data[name] for name in (*_NUMBERS, "reject_above")}, gate=gate)


def _standardise(scores: ArrayLike, location: float, scale: float) -> np.ndarray:
    # Contiguous float64 always: numpy may take another log kernel for strided input, and a last-bit
    # difference could send one image two ways.
    values = np.array(scores, dtype=np.float64, order="C")
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.log(values) - location) / scale
