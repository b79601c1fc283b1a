"""The certificate in plain words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.pages.wording import counted, grouped, percent
from router.certificate import certificate_summary
from wafer_data.errors import InputError


@dataclass(frozen=True)
class Promise:
    """One line: what it is about, what is stated, and whether that is a bound, an expectation or unknown."""

    name: str
    stated: str
    verdict: str
    note: str = ""


def promises(certificate: Mapping[str, Any] | None) -> list[Promise]:
    """What the certificate says, line by line; what it does not hold is left out."""
    if not certificate:
        return []
    found = []
    for key, name in (
        ("escalation", "Normal images sent to the full student"),
        ("flag", "Normal images stopped (REVIEW or REJECT)"),
        ("reject", "Normal images rejected without a person"),
    ):
        section = certificate.get(key)
        if isinstance(section, Mapping):
            tiles = section.get("unit") == "tiles"
            found.append(_rate(f"Tiles of {name[0].lower()}{name[1:]}" if tiles else name, section))
    gate = certificate.get("gate")
    if isinstance(gate, Mapping) and "upper" in gate:
        found.append(
            Promise(
                "Normal images that the quality gate refuses",
                f"at most {percent(gate['upper'])}",
                "bounded",
                f"{gate['refused']} of {grouped(gate['of'])} were refused; {_confident(gate)}",
            )
        )
    misses = certificate.get("fnr")
    if isinstance(misses, Mapping):
        found.append(_misses(misses))
    return found


def words(certificate: Mapping[str, Any] | None) -> list[str]:
    """The certificate's own summary; empty for one of another version."""
    if not certificate:
        return []
    try:
        return certificate_summary(certificate)
    except InputError:  # of another version: what can be read of it stands in the table
        return []


def needs(certificate: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """How many labelled defects would carry tighter promises; empty where the certificate does not say."""
    rows = (certificate or {}).get("needs")
    wanted = {"miss_rate", "confidence", "defects_without_miss", "defects_with_one_miss"}
    return (
        [row for row in rows if isinstance(row, dict) and wanted <= set(row)]
        if isinstance(rows, list)
        else []
    )


def sample_sentence(certificate: Mapping[str, Any] | None) -> str:
    """Which images the promises rest on."""
    sample = (certificate or {}).get("sample")
    if not isinstance(sample, Mapping) or "normals" not in sample:
        return ""
    misses = (certificate or {}).get("fnr")
    defects = misses.get("defects", 0) if isinstance(misses, Mapping) else 0
    real = counted(defects, "labelled real defect") if defects else "no labelled real defect"
    digest = str(sample.get("scores_sha256") or "")
    named = f" The sample is named by its scores' SHA-256, {digest[:16]}." if digest else ""
    return (
        f"It rests on {counted(sample['normals'], 'normal image')} that trained no model and {real}.{named}"
    )


def _rate(name: str, section: Mapping[str, Any]) -> Promise:
    if section.get("status") == "unavailable" or "expected" not in section:
        return Promise(name, "none", "unavailable", str(section.get("reason", "")))
    low, high = section["interval"]
    note = f"aimed at {percent(section['target'])}; {_confident(section)} between {percent(low)} and {percent(high)}"
    chance = section.get("probability_within_budget")
    if chance is not None:
        least, most = section["budget"]
        note += (
            f"; the chance that it lies within the budget of {percent(least, 0)} to {percent(most, 0)} is "
            f"{percent(chance, 0)}"
        )
        more = section.get("normals_needed_for_budget")
        if more is not None:
            note += f" ({_confident(section)} with about {grouped(more)} normals)"
    return Promise(name, f"{percent(section['expected'])} expected", "expected", note)


def _misses(section: Mapping[str, Any]) -> Promise:
    name = "Defects that pass"
    if "upper" not in section:
        return Promise(name, "not known", "unknown", str(section.get("reason", "")))
    return Promise(
        name,
        f"at most {percent(section['upper'], 2)}",
        "bounded",
        f"{section['missed']} of {counted(section['defects'], 'labelled defect')} passed; {_confident(section)}",
    )


def _confident(section: Mapping[str, Any]) -> str:
    return f"with {percent(section.get('confidence', 0.95), 0)} confidence"
