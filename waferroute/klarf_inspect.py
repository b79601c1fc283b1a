"""`waferroute inspect --klarf IN --out OUT`: a tool's defect list and its images in, the same list filled in out.

Exit status: 0 every defect's images were judged, 3 some defect has no image that could be judged (it is REVIEW), 130
interrupted (nothing is written).
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from router.decision import PASS, REJECT, REVIEW, Decision, Route
from tool_side.runtime.defect_type import DEFECT
from tool_side.runtime.inspection import Inspection
from tool_side.runtime.inspector import Inspector
from wafer_data.defect import DefectFinding
from wafer_data.errors import InputError, WriteError
from wafer_data.files import write_bytes, write_error
from wafer_map.bins import BinRules, load_rules
from wafer_map.klarf import Defect, DefectResult, KlarfFile, fill, read_klarf
from wafer_map.klarf.fill import SCORE_COLUMN, check_score_column, class_name_notes, unwritten_columns
from waferroute.klarf_bins import binned_result, class_of, finding_of
from waferroute.klarf_images import ImageJudge

EXIT_JUDGED, EXIT_UNJUDGED = 0, 3
ROUGH_BINS = {PASS: 1, REVIEW: 2, REJECT: 3}
"""What ROUGHBINNUMBER says without a file of rules."""
_SEVERITY = (PASS, REVIEW, REJECT)


@dataclass(frozen=True)
class DefectDecision:
    """What the images of one defect say together: the severest decision, the highest score.

    Attributes:
        wafer, defect: places in the file. id: DEFECTID. decision: PASS, REVIEW or REJECT; REVIEW without an image.
        score: anomaly score >= 0, None if no image was judged. images: how many were judged.
        result: the inspection that decided; None without an image. reasons: why it is not PASS.
        size: (width, height) of the image that decided, pixels. finding: its defect, where there are rules.
    """

    wafer: int
    defect: int
    id: int
    decision: Decision
    score: float | None
    images: int
    result: Inspection | None
    reasons: tuple[str, ...]
    size: tuple[int, int] = (1, 1)
    finding: DefectFinding | None = None

    def found(self) -> dict[str, Any] | None:
        """Its defect, JSON-ready: as it was binned, else as it was classified."""
        if self.finding is not None:
            return self.finding.to_dict()
        return None if self.result is None else self.result.evidence.get(DEFECT)

    def to_dict(self, file: KlarfFile) -> dict[str, Any]:
        """JSON-ready form."""
        wafer = file.wafers[self.wafer]
        return {
            "lot": wafer.lot,
            "wafer": wafer.wafer,
            "defect": self.id,
            "decision": self.decision.value,
            "score": self.score,
            "images": self.images,
            "reasons": list(self.reasons),
            **({} if (found := self.found()) is None else {"defect_found": found}),
        }


def run_klarf_inspect(
    bundle: str | Path,
    source: str | Path,
    target: str | Path,
    *,
    images: str | Path | None = None,
    recipe: str | None = None,
    threads: int = 1,
    reduced_decoding: bool = False,
    public_key: str | Path | None = None,
    score_column: str | None = SCORE_COLUMN,
    rules: str | Path | None = None,
    pixel_um: float | None = None,
    json_output: bool = False,
    out: TextIO | None = None,
) -> int:
    """Judge the images of a defect list and write the list with decision bins, review flags and scores.

    Args:
        bundle, recipe, threads, reduced_decoding, public_key: as of `tool_side.Inspector`.
        source: the KLARF file. target: the one to write; may be the same.
        images: folder of the list's images; default the folder of `source`.
        score_column: column for the scores; None writes none.
        rules: file of bin rules (`wafer_map.bins`); they give classes and bins, and may make a decision severer. None:
            bins say the decision (`ROUGH_BINS`); the class is that of the list's own table whose name is the type that
            the bundle's classifier says, else it stays as it is.
        pixel_um: side of a pixel in micrometres; None: sizes are those of the list.
        json_output: print one JSON object a defect instead of the summary.
        out: where to print, default standard output.

    Returns:
        The exit status, see the module's docstring.

    Raises:
        InputError: the list, the rules or the bundle are refused, scores cannot go into that column, or the target
            cannot be written; all but a disk that runs full is said before the first image is looked at.
    """
    out = out or sys.stdout
    check_score_column(score_column)
    file, bins = read_klarf(source), None if rules is None else load_rules(rules)
    folder = Path(images) if images is not None else Path(source).parent
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of images; name it with --images")
    _require_writable(Path(target))
    inspector = Inspector(bundle, threads=threads, reduced_decoding=reduced_decoding, public_key=public_key)
    policy = inspector.policy_of(recipe) if recipe is not None else inspector.policy
    judge = ImageJudge(inspector, folder, recipe)
    decisions: list[DefectDecision] = []
    for w, wafer in enumerate(file.wafers):
        for d, defect in enumerate(wafer.defects):
            decisions.append(_decide(w, d, defect, judge, policy.full_location, policy.full_scale))
        _say_progress(len(decisions), file.defects)
    results: dict[tuple[int, int], DefectResult] = {}
    for i, one in enumerate(decisions):
        if bins is None:
            cells = DefectResult(
                class_number=class_of(one.result, file.wafers[one.wafer].classes),
                rough_bin=ROUGH_BINS[one.decision],
                review=int(one.decision != PASS),
                score=one.score,
                images=one.images,
            )
        else:
            decisions[i], cells = _binned(bins, inspector, one, file, pixel_um)
        results[one.wafer, one.defect] = cells
    names = (
        {}
        if bins is None
        else {b.class_number: n for n, b in bins.bins.items() if b.class_number is not None}
    )
    write_bytes(target, fill(file, results, class_names=names, score_column=score_column))
    notes = [f"{file.source}, {note}" for note in file.notes] + class_name_notes(file, names)
    if lacking := unwritten_columns(file, results):
        notes.append(f"the list has no column {', '.join(lacking)}: what belongs there is not written")
    if json_output:
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        for one in decisions:
            print(json.dumps(one.to_dict(file)), file=out)
    else:
        print("\n".join([*_summary_lines(file, decisions, notes), f"written: {target}"]), file=out)
    return EXIT_UNJUDGED if any(one.score is None for one in decisions) else EXIT_JUDGED


def _binned(
    bins: BinRules, inspector: Inspector, one: DefectDecision, file: KlarfFile, pixel_um: float | None
) -> tuple[DefectDecision, DefectResult]:
    """A decision with its defect and bin. Rules never make it milder."""
    if one.result is None:
        unseen = Inspection(source="?", decision=one.decision)
        one = replace(one, result=unseen)
    assert one.result is not None
    reference = None if one.result.route is Route.NONE else inspector.map_reference(one.result.route)
    listed = file.wafers[one.wafer].defects[one.defect]
    finding = finding_of(
        one.result, reference, one.size, listed, None if pixel_um is None else (pixel_um, pixel_um)
    )
    cells, binned = binned_result(bins, finding, one.decision, one.score, one.images)
    if binned is None:
        return one, cells
    changed = replace(
        one, decision=binned.decision, finding=binned.finding, reasons=(*one.reasons, binned.reason)
    )
    return changed, cells


def anomaly_score(z: float | None, location: float, scale: float) -> float | None:
    """A routed z value as a score >= 0, monotone in z: what the full student's score of that z would be."""
    if z is None:
        return None
    return math.exp(min(location + scale * z, 700.0))


def _decide(
    wafer: int,
    place: int,
    defect: Defect,
    judge: ImageJudge,
    location: float,
    scale: float,
) -> DefectDecision:
    seen = [(judge(entry), judge.size()) for entry in defect.images]
    results = [result for result, _ in seen]
    if not results:
        return DefectDecision(
            wafer, place, defect.id, REVIEW, None, 0, None, ("the list names no image of it",)
        )
    worst, size = max(seen, key=lambda pair: _severity(pair[0]))
    judged = [result for result in results if result.judged]
    score = max((result.score for result in judged if result.score is not None), default=None)
    reasons = tuple(dict.fromkeys(reason for result in results for reason in result.reasons))
    final = anomaly_score(score, location, scale)
    return DefectDecision(wafer, place, defect.id, worst.decision, final, len(judged), worst, reasons, size)


def _severity(result: Inspection) -> tuple[int, float]:
    return _SEVERITY.index(result.decision), -math.inf if result.score is None else result.score


def _say_progress(done: int, total: int) -> None:
    if done < total and os.environ.get("WAFERROUTE_QUIET") != "1":
        print(f"{done} of {total} defects", file=sys.stderr, flush=True)


def _require_writable(target: Path) -> None:
    """Refuse a target before hours of work that could not be written to it."""
    try:
        if target.is_dir():
            raise WriteError(f"{target} is a folder; name the list to write")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise write_error(target, error) from error


def _summary_lines(
    file: KlarfFile, decisions: Sequence[DefectDecision], notes: Sequence[str]
) -> Iterator[str]:
    yield from (f"note: {note}" for note in notes)
    for w, wafer in enumerate(file.wafers):
        tally = Counter(one.decision for one in decisions if one.wafer == w)
        counts = ", ".join(f"{tally[name]} {name.value}" for name in _SEVERITY)
        yield f"lot {wafer.lot}, wafer {wafer.wafer}: {len(wafer.defects)} defects, {counts}"
    missing = [one for one in decisions if one.score is None]
    if missing:
        yield f"{len(missing)} defects without a judged image are REVIEW; the first: {missing[0].reasons[0]}"
