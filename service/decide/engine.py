"""The decision engine: the policy's decision first, then the site's rules, each of which can only make it stricter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.policy import PASS, REJECT, REVIEW
from service.decide.rules import SiteRules, drawn
from tool_side import Inspection

STRICTNESS = {PASS: 0, REVIEW: 1, REJECT: 2}
_MEANS = {"review": REVIEW, "quarantine": REVIEW, "reject": REJECT}


@dataclass(frozen=True)
class Decided:
    """What the tool is told.

    Attributes:
        decision: "PASS", "REVIEW" or "REJECT".
        model_decision: What the policy said before any rule.
        rule: Name of the rule that made it stricter, or that chose it for an audit; None if none spoke.
        reasons: Why it is not PASS, in plain words.
        audit_share: Chance that this PASS image had of being audited; None if it is not audited.
    """

    decision: str
    model_decision: str
    rule: str | None
    reasons: tuple[str, ...]
    audit_share: float | None


def decide(
    result: Inspection, rules: SiteRules, about: Mapping[str, str | None], *, salt: bytes, image_key: str
) -> Decided:
    """Decide about one inspected image.

    Args:
        result: What the inspector found; what it could not judge is REVIEW there already.
        rules: Of the site.
        about: `rules.FIELDS` of the image.
        salt: The installation's secret, so that nobody outside knows which images are sampled.
        image_key: What the sampling depends on; the same for a retry.
    """
    # Whatever an inspector says, an image without a finite score is not PASS.
    said = result.decision if result.decision in STRICTNESS else REVIEW
    model = REVIEW if said == PASS and not result.judged else said
    decision, rule, reasons = model, None, list(result.reasons)
    if model != said:
        reasons.append("the image was not scored")
    auditor, unaudited = None, 1.0
    for one in rules.rules:
        if not one.matches(about):
            continue
        chosen = drawn(one, salt, image_key)
        if one.then == "audit":
            unaudited *= 1 - one.share
            auditor = auditor or (one.name if chosen else None)
            continue
        if not chosen:
            continue
        if STRICTNESS[_MEANS[one.then]] > STRICTNESS[decision]:
            decision, rule = _MEANS[one.then], one.name
        if one.then == "quarantine":
            reasons.append(f"site rule {one.name!r}: tool {about.get('tool')} is in quarantine")
        elif rule == one.name:
            reasons.append(f"site rule {one.name!r}: {decision}")
    if decision != PASS or auditor is None:
        return Decided(decision, model, rule, tuple(reasons), None)
    return Decided(decision, model, auditor, tuple(reasons), 1 - unaudited)
