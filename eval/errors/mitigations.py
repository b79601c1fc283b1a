"""What to do about a failure mode: a setting or a kind of image to add, with what it would change and cost.

Router settings are tried by calibrating again on the calibration images (`levers`). That they would put test errors
right is measured on test data and therefore optimistic: every such sentence says that new images must confirm it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.errors.findings import Error
from eval.errors.levers import Change, Levers, first_that_changes, turned_by
from eval.errors.properties import EDGE
from eval.pages.wording import milliseconds, percent

CONFIRM = "Found on test images: confirm it on images that nobody has looked at yet."


@dataclass(frozen=True)
class Context:
    """What mitigations are computed from.

    Attributes:
        mean_ms: Time of a normal image through the route, full_ms: of the full student alone; None if not
            measured.
        map_side: Cells along the map of each student.
        size: Side of the images in pixels.
    """

    levers: Levers
    normals: int
    defects: int
    missed: int
    false_alarms: int
    mean_ms: float | None
    full_ms: float | None
    map_side: dict[str, int]
    size: int


Advice = tuple[str, dict[str, Any]]


def mitigate(key: str, errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    """The advice for the errors of one mode, and the figures in it.

    Args:
        rows: The errors' places among the test images.
    """
    return _ADVICE[key](errors, rows, context)


def _escalate(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    levers = context.levers
    change = first_that_changes(levers.escalate_more(), rows)
    if change is None or 2 * turned_by(change, rows) < len(rows):
        # With the flag rate fixed, the review threshold rises with the share escalated: both may have to go up.
        both = first_that_changes(levers.flag_more(), rows)
        if both is not None and (change is None or turned_by(both, rows) > turned_by(change, rows)):
            change = both
    if change is None:
        return "No escalation target up to 50 % would have found any of them. ", {}
    settings = _settings(change, levers)
    return f"{settings} {_effect(change, rows, context)} {CONFIRM}", _figures(change, rows)


def _flag(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    change = first_that_changes(context.levers.flag_more(), rows)
    if change is None:
        return "No flag rate up to 40 % would have found any of them. ", {}
    return f"{_settings(change, context.levers)} {_effect(change, rows, context)} {CONFIRM}", _figures(
        change, rows
    )


def _unflag(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    change = first_that_changes(context.levers.flag_less(), rows)
    if change is None:
        return (
            "They are the tail that the flag rate asks for, and this calibration sample is too small for a lower one: "
            "more calibration normals make the threshold sharper (raise data.calibration_fraction or add images).",
            {},
        )
    text = f"{_settings(change, context.levers)} {_effect(change, rows, context)} {CONFIRM}"
    return text, _figures(change, rows)


def _settings(change: Change, levers: Levers) -> str:
    config, said = levers.config, []
    if change.escalation_target != config.escalation_target and levers.model == "routed":
        said.append(
            f"router.escalation_target from {percent(config.escalation_target)} to {percent(change.escalation_target)} "
            "(and widen router.escalation_budget to hold it)"
        )
    if change.flag_rate != config.flag_rate:
        said.append(f"router.flag_rate from {percent(config.flag_rate)} to {percent(change.flag_rate)}")
    verb = "Lower" if change.flag_rate < config.flag_rate else "Raise"
    return f"{verb} {' and '.join(said)}:"


def _effect(change: Change, rows: np.ndarray, context: Context) -> str:
    """What calibrating again with the change does to these errors, to all others, and to time."""
    turned, config = turned_by(change, rows), context.levers.config
    said = [
        f"calibrated again on the same calibration images, {turned} of these {len(rows)} would be put right; missed "
        f"defects in all go from {context.missed} to {change.missed} of {context.defects}, false alarms from "
        f"{context.false_alarms} to {change.false_alarms} of {context.normals} test normals"
    ]
    reviews = 1000 * (change.flag_rate - config.flag_rate)
    if abs(reviews) >= 0.5:
        said.append(
            f"{abs(reviews):.0f} {'more' if reviews > 0 else 'fewer'} reviews in 1000 normal images, about "
            f"{abs(reviews) * config.costs.review_usd:.0f} USD"
        )
    more = change.escalation_target - config.escalation_target
    if context.mean_ms is not None and context.full_ms is not None and more > 0:
        said.append(
            f"the mean time of a normal image goes from {milliseconds(context.mean_ms)} to about "
            f"{milliseconds(context.mean_ms + more * context.full_ms)}"
        )
    return "; ".join(said) + "."


def _figures(change: Change, rows: np.ndarray) -> dict[str, Any]:
    return {
        "proposed_escalation_target": change.escalation_target,
        "proposed_flag_rate": change.flag_rate,
        "put_right": turned_by(change, rows),
        "missed_then": change.missed,
        "false_alarms_then": change.false_alarms,
    }


def _finer(student: str) -> Callable[[list[Error], np.ndarray, Context], Advice]:
    def advice(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
        cell = context.size // context.map_side[student]
        areas = [error.defect.area for error in errors if error.defect is not None]
        side = float(np.sqrt(np.median(areas))) * context.size
        return (
            f"Their median size is {side:.0f} x {side:.0f} px, one cell of the {student} student's map is {cell} x "
            f"{cell} px. Give that student a finer map (distill.{student}.student.map_size and the finest of its "
            f"likelihood.levels) or a larger distill.{student}.student.input_size, and train it again.",
            {"median_side_px": side, "cell_px": cell},
        )

    return advice


def _labels(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    counts = Counter(error.type for error in errors)
    named = ", ".join(f"{name} ({count})" for name, count in counts.most_common(4))
    return (
        f"Label some defects of these types and train with them (data.labelled_defects_per_type=20, or more): {named}. "
        "The defect head then adds to the score what resembles them; waferroute novelty measures what labels change.",
        {"types": dict(counts)},
    )


def _overlap(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    pixels = round(2 * EDGE * context.size)
    return (
        f"Let neighbouring fields overlap by {pixels} px ({percent(2 * EDGE)} of the side), so that what lies at the "
        "edge of one lies inside another; each field then brings that much less new area. Where fields cannot "
        "overlap, add labelled defects at the edge.",
        {"overlap_px": pixels},
    )


def _crop(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    pixels = round(EDGE * context.size)
    return (
        f"Look at what these edges show. If it is harmless (a border, a shadow), crop the outer {pixels} px off all "
        "images before training and inspection, with fields that overlap by as much; or add normal images with such "
        "edges to the training images and run again.",
        {"crop_px": pixels},
    )


def _quality(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    counts = Counter(name for error in errors for name in error.unusual)
    named = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
    return (
        f"Outside the range of the calibration normals: {named}. Check exposure and focus for these images; if they "
        "are how the tool sees wafers, add normal images taken like them to the training images and run again.",
        {"unusual": dict(counts)},
    )


def _refused(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    counts = Counter(reason.split(":")[0] for error in errors for reason in error.refused_because)
    named = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
    return (
        f"The gate's reasons: {named}. If these images are usable, add normal images taken like them to the training "
        "images: the gate's ranges are fitted to those. If not, the fault lies with illumination or focus.",
        {"reasons": dict(counts)},
    )


def _rare(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    similarity = float(np.median([error.similarity for error in errors]))
    return (
        f"Their median similarity to the nearest training normal is {similarity:.2f}. Add normal images of this look "
        "(same product, layer and tool; some tens) to the training images and run again.",
        {"median_similarity": similarity},
    )


def _look(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
    peak = float(np.median([error.heat.peak for error in errors if error.heat is not None] or [np.nan]))
    return (
        f"The median peak is {peak:.1f} times what 1 in 1000 calibration pixels exceeds. Let a person look at "
        f"{'this image' if len(errors) == 1 else f'these {len(errors)} images'}: a defect that nobody labelled belongs "
        "to the defects, and what is harmless belongs to the training normals.",
        {"median_peak": None if np.isnan(peak) else peak},
    )


def _both(first: Callable[..., Advice], second: Callable[..., Advice]) -> Callable[..., Advice]:
    def advice(errors: list[Error], rows: np.ndarray, context: Context) -> Advice:
        (text, figures), (more, others) = (one(errors, rows, context) for one in (first, second))
        return f"{text.strip()} {more}", figures | others

    return advice


_ADVICE: dict[str, Callable[[list[Error], np.ndarray, Context], Advice]] = {
    "lowres_tiny": _both(_escalate, _finer("lowres")),
    "lowres_faint": _escalate,
    "lowres_edge": _both(_escalate, _overlap),
    "lowres_plain": _escalate,
    "narrow_miss": _flag,
    "tiny": _finer("full"),
    "faint": _labels,
    "edge": _overlap,
    "quality": _quality,
    "plain": _labels,
    "looks_normal": _labels,
    "unlike": _both(_flag, _labels),
    "refused": _refused,
    "quality_alarm": _quality,
    "rare": _rare,
    "narrow_alarm": _unflag,
    "edge_alarm": _crop,
    "spot": _look,
    "diffuse": _rare,
}
