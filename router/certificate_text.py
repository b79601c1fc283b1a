"""A certificate in sentences, and whether it belongs to the scores it names. Standard library and numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wafer_data.errors import InputError

SCORES = ("lowres", "full", "defect_lowres", "defect_full")
SECTIONS = ("sample", "escalation", "flag", "reject", "fnr", "needs", "assumptions")

THRESHOLDS = {"escalation": "escalate_above", "flag": "review_above", "reject": "reject_above"}
"""Which number of the policy each section of a certificate speaks of."""


def sample_hash(*scores: ArrayLike) -> str:
    """sha256 (hex) over calibration scores as little-endian float64, in order: names the sample."""
    digest = hashlib.sha256()
    for values in scores:
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()


def matches_sample(certificate: Mapping[str, Any], calibration: Mapping[str, Any]) -> bool:
    """Whether the scores in `calibration.json` are those that the certificate was computed from."""
    scores = [calibration.get(name, []) for name in SCORES]
    return bool(sample_hash(*scores) == certificate["sample"]["scores_sha256"])


def certificate_summary(certificate: Mapping[str, Any]) -> list[str]:
    """The certificate as plain sentences, one thing each, for a page or a terminal.

    Raises:
        InputError: For something that is not a certificate of this version.
    """
    missing = [name for name in SECTIONS if name not in certificate]
    if missing:
        raise InputError(
            f"this is no certificate of this version (it lacks {', '.join(missing)}); calibrate again"
        )
    try:
        return [
            _sample(certificate["sample"]),
            *_rate(_escalated(certificate["escalation"]), certificate["escalation"]),
            *_budget(certificate["escalation"]),
            *_rate("Normal images flagged (REVIEW or REJECT)", certificate["flag"]),
            *_rate("Normal images rejected without a person", certificate["reject"]),
            *_parts(certificate.get("parts")),
            *_misses(certificate["fnr"]),
            *(f"Needed: {row['text']}." for row in certificate["needs"]),
            *_synthetic(certificate.get("synthetic")),
            *(f"Assumed: {sentence}" for sentence in certificate["assumptions"]),
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the certificate is not one of this version ({error}); calibrate again") from error


def _sample(sample: Mapping[str, Any]) -> str:
    types = sample.get("defects_by_type") or {}
    named = f" ({', '.join(f'{name} {count}' for name, count in types.items())})" if types else ""
    return (
        f"Sample: {sample['normals']} normal images and {sample.get('defects', 0)} labelled defects{named} that "
        f"trained no model; its scores have the sha256 {sample['scores_sha256']}."
    )


def _escalated(stated: Mapping[str, Any]) -> str:
    """What is escalated: images, or the tiles of large ones."""
    shown = "Tiles of normal images" if stated.get("unit") == "tiles" else "Normal images"
    return f"{shown} escalated to the full student"


def _rate(what: str, stated: Mapping[str, Any]) -> Sequence[str]:
    if "expected" not in stated:
        return [f"{what}: none, because {stated['reason']}."]
    low, high = stated["interval"]
    if stated.get("chosen_with_defects"):
        expected = (
            f"about {stated['expected']:.2%} expected, {stated['at_most']:.2%} at most on average whatever the "
            "labelled defects chose"
        )
    else:
        expected = f"{stated['expected']:.2%} {'at most ' if stated['tied'] else ''}expected"
    return [
        f"{what}: {expected} (asked for: {stated['target']:.2%}); between {low:.2%} and {high:.2%} with "
        f"{stated['confidence']:.0%} confidence."
    ]


def _budget(stated: Mapping[str, Any]) -> Sequence[str]:
    chance = stated.get("probability_within_budget")
    if chance is None:
        return []
    low, high = stated["budget"]
    needed = stated["normals_needed_for_budget"]
    more = f"; about {needed} normal images would make it {stated['confidence']:.0%}" if needed else ""
    return [
        f"The chance that escalation lies within its budget of {low:.1%} to {high:.1%} is {chance:.0%}{more}."
    ]


def _parts(stated: Mapping[str, Any] | None) -> Sequence[str]:
    if not stated:
        return []
    rates = []
    for name, word in (("escalation", "escalated"), ("flag", "flagged")):
        low, high = stated[name]["interval"]
        rates.append(
            f"between {low:.2%} and {high:.2%} {word} (they prove as much as {stated[name]['worth']:.0f} "
            "independent images)"
        )
    return [
        f"The normal images show {stated['parts']} parts, and images of one part are alike. Taking that into account: "
        f"{'; '.join(rates)}; with {stated['confidence']:.0%} confidence. The intervals above take every image for "
        "independent."
    ]


def _misses(stated: Mapping[str, Any]) -> Sequence[str]:
    if stated["status"] == "unknown":
        return [f"Defects missed: UNKNOWN, because {stated['reason']}."]
    lines = [
        f"Defects missed: at most {stated['upper']:.2%} with {stated['confidence']:.0%} confidence; "
        f"{stated['missed']} of {stated['defects']} labelled defects ended as PASS. By: {stated['method']}."
    ]
    if "worst_type_upper" in stated and len(stated["per_type"]) > 1:
        lines.append(
            f"Defects missed, in any mixture of these types: at most {stated['worst_type_upper']:.2%} with "
            f"{stated['confidence']:.0%} confidence."
        )
    for name, shares in stated["per_type"].items():
        limit = f", at most {shares['upper']:.2%} if looked at alone" if "upper" in shares else ""
        lines.append(f"Type {name}: {shares['missed']} of {shares['n']} missed{limit}.")
    if stated.get("refused_by_gate"):
        lines.append(
            f"{stated['refused_by_gate']} more labelled defects were sent to REVIEW by the quality gate."
        )
    return lines


def _synthetic(stated: Mapping[str, Any] | None) -> Sequence[str]:
    if not stated or not stated["n"]:
        return []
    return [
        f"SYNTHETIC anomalies, apart from all of the above: {stated['missed']} of {stated['n']} ended as PASS, "
        f"{stated['escalated']} were escalated; {stated['note']}."
    ]
