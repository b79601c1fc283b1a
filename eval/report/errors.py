"""The error analysis in short: its first failure modes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.pages.wording import percent

TOP = 3
_KINDS = {"miss": "misses", "false_alarm": "false alarms", "alarm": "false alarms"}


@dataclass(frozen=True)
class FailureMode:
    """A failure mode: its name, how many errors of which kind, the rule behind it, and what to do."""

    name: str
    figures: str
    rule: str
    mitigation: str


def top_modes(errors: Mapping[str, Any] | None) -> list[FailureMode]:
    """The first three modes of `errors.json`; empty without it, or where it names none."""
    listed = (errors or {}).get("modes")
    found = []
    for entry in listed if isinstance(listed, list) else []:
        if not isinstance(entry, Mapping) or not entry.get("top", True):
            continue
        kind = str(entry.get("kind", ""))
        figures = f"{entry['count']} {_KINDS.get(kind, kind)}" if "count" in entry else ""
        if figures and entry.get("share") is not None:
            figures += f", {percent(entry['share'])} of them"
        found.append(
            FailureMode(
                str(entry.get("name", "")),
                figures,
                str(entry.get("rule", "")),
                str(entry.get("mitigation", "")),
            )
        )
    return found[:TOP]
