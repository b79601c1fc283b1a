"""Failure modes: an ordered list of rules on measured properties; an error belongs to the first that fits."""

from collections.abc import Callable
from dataclasses import dataclass

from eval.errors.findings import Error, Kind
from eval.errors.operating_point import NEVER, REFUSED

FAINT = 0.5
"""A defect is faint if its mean grey differs from its surround's by less than this many standard deviations of it."""

NARROW = 0.5
"""A decision is narrow within this many robust standard deviations of normal scores from its threshold."""

RARE = 0.025
"""An image looks unlike any training normal if at most this share of the calibration normals is less like one."""

SPOT = 0.05
"""A heat map shows a spot if at most this share of it lies above half its peak."""


_KEPT = "never escalated, though the full student's score lies above the review threshold"


@dataclass(frozen=True)
class Rule:
    """`holds` takes an error and the share of the image that one cell of its student's map covers."""

    key: str
    kind: Kind
    name: str
    words: str
    holds: Callable[[Error, float], bool]


def _faint(error: Error) -> bool:
    found = error.defect
    return found is not None and found.contrast is not None and abs(found.contrast) < FAINT


def _tiny(error: Error, cell: float) -> bool:
    return error.defect is not None and error.defect.area < cell


def _edge(error: Error) -> bool:
    return error.defect is not None and error.defect.at_edge


def _kept(error: Error) -> bool:
    return error.route == NEVER and error.full_flags


def _narrow(error: Error) -> bool:
    return error.margin is not None and error.route != NEVER and abs(error.margin) <= NARROW


RULES: tuple[Rule, ...] = (
    Rule(
        "lowres_tiny",
        "missed",
        "Tiny defects that only the full student sees",
        f"{_KEPT}; the mask covers less than one cell of the low-resolution heat map",
        lambda error, cell: _kept(error) and _tiny(error, cell),
    ),
    Rule(
        "lowres_faint",
        "missed",
        "Faint defects that only the full student sees",
        f"{_KEPT}; the mean grey of the mask differs from its surround's by less than {FAINT} standard deviations",
        lambda error, _: _kept(error) and _faint(error),
    ),
    Rule(
        "lowres_edge",
        "missed",
        "Defects at the edge that only the full student sees",
        f"{_KEPT}; the mask's centre lies in the outer sixteenth of the image",
        lambda error, _: _kept(error) and _edge(error),
    ),
    Rule(
        "lowres_plain",
        "missed",
        "Defects of ordinary size and contrast that only the full student sees",
        f"{_KEPT}; by mask neither tiny, nor faint, nor at the edge, or there is no mask",
        lambda error, _: _kept(error),
    ),
    Rule(
        "narrow_miss",
        "missed",
        "Judged at full resolution and passed by a narrow margin",
        f"the full student looked, and the score lies at most {NARROW} robust standard deviations of normal scores "
        "below its threshold",
        lambda error, _: _narrow(error),
    ),
    Rule(
        "tiny",
        "missed",
        "Tiny defects that neither student sees",
        "the mask covers less than one cell of the heat map of the student that passed it",
        _tiny,
    ),
    Rule(
        "faint",
        "missed",
        "Faint defects that neither student sees",
        f"the mean grey of the mask differs from its surround's by less than {FAINT} of the surround's standard "
        "deviations",
        lambda error, _: _faint(error),
    ),
    Rule(
        "edge",
        "missed",
        "Defects at the edge that neither student sees",
        "the mask's centre lies in the outer sixteenth of the image",
        lambda error, _: _edge(error),
    ),
    Rule(
        "quality",
        "missed",
        "Defects in images of unusual quality",
        "a quality figure lies outside the range of all calibration normals",
        lambda error, _: bool(error.unusual),
    ),
    Rule(
        "plain",
        "missed",
        "Clear to the eye, not to either student",
        "large enough, not faint and not at the edge by the rules above; neither student flags it",
        lambda error, _: error.defect is not None,
    ),
    Rule(
        "looks_normal",
        "missed",
        "Defective images that look like a normal one",
        "no mask tells where the defect is; the image is more like a training normal than half of the calibration "
        "normals are",
        lambda error, _: error.similarity_rank >= 0.5,
    ),
    Rule(
        "unlike",
        "missed",
        "Defective images that look less usual, yet pass",
        "no mask tells where the defect is; the image is less like a training normal than half of the calibration "
        "normals are",
        lambda error, _: True,
    ),
    Rule(
        "refused",
        "false alarm",
        "Normal images refused by the quality gate",
        "a quality figure lies outside the gate's range",
        lambda error, _: error.route == REFUSED,
    ),
    Rule(
        "quality_alarm",
        "false alarm",
        "Normal images of unusual quality",
        "a quality figure lies outside the range of all calibration normals",
        lambda error, _: bool(error.unusual),
    ),
    Rule(
        "rare",
        "false alarm",
        "Normal images unlike any in training",
        f"at most {100 * RARE:g} % of the calibration normals are less like their nearest training normal",
        lambda error, _: error.similarity_rank <= RARE,
    ),
    Rule(
        "narrow_alarm",
        "false alarm",
        "Normal images just above the threshold",
        f"the score lies at most {NARROW} robust standard deviations of normal scores above its threshold",
        lambda error, _: _narrow(error),
    ),
    Rule(
        "edge_alarm",
        "false alarm",
        "Heat at the edge of the image",
        "the hottest cell lies in the outer sixteenth of the image",
        lambda error, _: error.heat is not None and error.heat.at_edge,
    ),
    Rule(
        "spot",
        "false alarm",
        "A hot spot on an image called normal",
        f"at most {100 * SPOT:g} % of the heat map lies above half its peak",
        lambda error, _: error.heat is not None and error.heat.hot_share <= SPOT,
    ),
    Rule(
        "diffuse",
        "false alarm",
        "The whole image looks anomalous",
        "well above the threshold, without one place that stands out",
        lambda error, _: True,
    ),
)


def mode_of(error: Error, cell: float) -> Rule:
    """The first rule that fits; `cell`: share of the image that a cell of the deciding student's map covers."""
    return next(rule for rule in RULES if rule.kind == error.kind and rule.holds(error, cell))
