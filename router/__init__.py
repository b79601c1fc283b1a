"""Which images the low-resolution student decides alone, which go on to the full one, and what is decided.

On the tool: :mod:`router.gate` (can this image be judged at all?) and :mod:`router.policy` (pass, escalate,
decide). Both need numpy only. In training: :mod:`router.config`, :mod:`router.calibrate` and
:mod:`router.certificate`, which choose the thresholds from calibration images and state what that sample
can prove.
"""

from router.decision import PASS, REJECT, REVIEW, STAGES, Decision, Route
from router.gate import QualityFigures, QualityGate, fit_gate, measure_quality
from router.policy import RoutingPolicy

__all__ = [
    "PASS",
    "REJECT",
    "REVIEW",
    "STAGES",
    "Decision",
    "QualityFigures",
    "QualityGate",
    "Route",
    "RoutingPolicy",
    "fit_gate",
    "measure_quality",
]
