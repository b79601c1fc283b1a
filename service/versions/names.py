"""Names of versions, `vae-wafer-v{major}.{minor}.{patch}`, and which number a new bundle raises.

major: the input or the answer changes (preprocessing, recipes taken away, size of the latent), so that tools or
readers must be told. minor: other graphs, that is a new training. patch: the same graphs with other thresholds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from wafer_data.errors import InputError

PREFIX = "vae-wafer-v"
_PATTERN = re.compile(rf"{re.escape(PREFIX)}(\d+)\.(\d+)\.(\d+)")

Change = Literal["major", "minor", "patch", "none"]


class VersionName(NamedTuple):
    """A version's three numbers; ordered as the versions are."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{PREFIX}{self.major}.{self.minor}.{self.patch}"

    def next(self, change: Change) -> VersionName:
        """The name of a version that changes so much from this one."""
        if change == "major":
            return VersionName(self.major + 1, 0, 0)
        if change == "minor":
            return VersionName(self.major, self.minor + 1, 0)
        return VersionName(self.major, self.minor, self.patch + 1)


FIRST = VersionName(1, 0, 0)


def parse_name(text: str) -> VersionName:
    """The numbers of a name; "v2.3.1" and "2.3.1" stand for the whole name.

    Raises:
        InputError: `text` is no version's name.
    """
    whole = text if text.startswith(PREFIX) else f"{PREFIX}{text.removeprefix('v')}"
    found = _PATTERN.fullmatch(whole)
    if found is None:
        raise InputError(f"{text!r} is not the name of a version: write for example {FIRST}")
    return VersionName(*(int(number) for number in found.groups()))


def change_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change:
    """How much one bundle's manifest differs from another's.

    Args:
        old: Manifest of the version that the new one follows.
        new: Manifest of the new one.
    """
    if old["files"] == new["files"] and old["preprocessing"] == new["preprocessing"]:
        return "none"
    if old["preprocessing"] != new["preprocessing"] or _recipes(old) - _recipes(new):
        return "major"
    return "minor" if _graphs(old) != _graphs(new) else "patch"


def _recipes(manifest: Mapping[str, Any]) -> set[str]:
    return set(manifest.get("recipes", {}))


def _graphs(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in manifest["files"].items() if name.endswith(".onnx")}
