"""Step 5: may the candidate go on? On the frozen sets, on what the line sends today, and on every old defect.

The figures and their paired intervals come from the frozen sets alone: no version chose their images. What the line
sends today must not show more false alarms than the threshold, nor clearly more than production has. And no defect
of any set that production finds may be missed: each one is named, with its picture, in `gate/gate.html`.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.gate.figures import paired_intervals
from lifecycle.gate.gate import GateReport, Thresholds, compare, lost_types
from lifecycle.gate.page import render_gate
from lifecycle.gate.scored import LabelledImage, ScoredSet
from lifecycle.retraining.evaluate import FROZEN, RECENT, REGRESSION, read_scores
from lifecycle.retraining.plan import Plan
from lifecycle.retraining.train import bundle_of
from router.exact_binomial import interval
from tool_side import load_bundle
from wafer_data.files import write_json, write_text

FOLDER, RESULT, PAGE = "gate", "gate.json", "gate.html"
Scored = tuple[list[LabelledImage], ScoredSet, ScoredSet | None]


def gate(plan: Plan) -> dict[str, Any]:
    """Do the step. What the gate says stays with the bundle: a refused one cannot be promoted by another door.

    Returns:
        The content of `gate/gate.json`; `passed` says whether the candidate may go on.
    """
    sets = read_scores(plan)
    thresholds = Thresholds(**plan.config.gate.model_dump())
    report, recent = judge(sets, thresholds)
    content = {
        **report.to_dict(),
        "recent": recent,
        "against": plan.production,
        "bundle": load_bundle(bundle_of(plan)).id,
        "retraining": plan.id,
        "thresholds": asdict(thresholds),
        "sets": {name: len(images) for name, (images, _, _) in sets.items()},
    }
    pictures = {
        image.name if name == FROZEN else f"{name}/{image.name}": image.path
        for name, (images, _, _) in sets.items()
        for image in images
    }
    marks = [Path(root) / where / "synthetic.json" for root in plan.config.frozen for where in (".", "..")]
    synthetic = any(mark.is_file() for mark in marks)
    write_text(plan.folder / FOLDER / PAGE, render_gate(content, plan.id, pictures, synthetic=synthetic))
    write_json(plan.folder / FOLDER / RESULT, content)
    plan.versions().keep_verdict(content["bundle"], content)
    return content


def judge(sets: dict[str, Scored], thresholds: Thresholds) -> tuple[GateReport, dict[str, Any]]:
    """The gate on scores that are there already.

    Args:
        sets: Of each set: images, the candidate's decisions, production's or None.
        thresholds: What must be reached.

    Returns:
        The report, and what recent images showed.
    """
    report = compare(*sets[FROZEN], thresholds)
    reasons = list(report.reasons)
    lost, gained = list(report.regressions), list(report.gains)
    for name in (REGRESSION, RECENT):
        images, new, old = sets[name]
        if old is None:
            continue
        defective = np.array([image.defective for image in images], bool)
        mine = [
            f"{name}/{i.name}" for i, k in zip(images, defective & ~old.passed & new.passed, strict=True) if k
        ]
        gained += [
            f"{name}/{i.name}" for i, k in zip(images, defective & old.passed & ~new.passed, strict=True) if k
        ]
        lost += mine
        reasons += [f"{reason} ({name} set)" for reason in lost_types(images, defective, old, new)]
    others = len(lost) - len(report.regressions)
    if others and len(lost) > thresholds.regressions:
        shown = ", ".join(lost[len(report.regressions) :][:5])
        reasons.append(
            f"it PASSes {others} old or recent defects that production finds (at most {thresholds.regressions} "
            f"in all): {shown}{' ...' if others > 5 else ''}"
        )
    recent, said = _recent(sets[RECENT], thresholds)
    reasons += said
    return replace(report, passed=not reasons, reasons=reasons, regressions=lost, gains=gained), recent


def _recent(scored: Scored, thresholds: Thresholds) -> tuple[dict[str, Any], list[str]]:
    """False alarms on recent normals, with what speaks against the candidate.

    There may be few of them, so a difference counts only where the interval excludes that there is none; the strict
    comparison is that of the frozen sets.
    """
    images, new, old = scored
    normal = np.array([not image.defective for image in images], bool)
    count, alarms = int(normal.sum()), int((normal & ~new.passed).sum())
    low, high = interval(alarms, count)
    found: dict[str, Any] = {"normal": count, "false_alarms": alarms, "interval": [low, high]}
    reasons = []
    if count and low > thresholds.false_alarm:
        reasons.append(
            f"{alarms} of {count} recent normal images do not PASS: more than {thresholds.false_alarm:g} is shown"
        )
    if old is not None and count:
        found["production_false_alarms"] = int((normal & ~old.passed).sum())
        rows = np.flatnonzero(normal)
        sides = [(one.scores[rows], one.passed[rows]) for one in (old, new)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of the figures that need defects
            differences = paired_intervals(sides[0], sides[1], np.zeros(count, bool))
        point, worst_low, worst_high = differences["false_alarm"]
        found["difference"] = [point, worst_low, worst_high]
        if worst_low > thresholds.worse:
            reasons.append(
                f"false alarms on recent images are {point:+.3f} against production's "
                f"({worst_low:+.3f} to {worst_high:+.3f})"
            )
    return found, reasons
