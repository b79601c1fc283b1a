"""Bins of an image's defects: the site's rules, with places on the die from the recipe's stage map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from router.decision import Decision
from wafer_data.defect import DefectFinding
from wafer_data.errors import ConfigurationError
from wafer_map.bins import BinRules, load_rules
from wafer_map.stage import StageMap, load_stage


@dataclass(frozen=True)
class DefectBins:
    """Rules of bins, and where the images of each recipe lie. `load_bins` reads both.

    Attributes:
        rules: Of the site.
        stages: Stage map by recipe; that of "" is of every recipe without one of its own.
    """

    rules: BinRules
    stages: Mapping[str, StageMap] = field(default_factory=dict)

    def pixel_um(self, recipe: str | None) -> tuple[float, float] | None:
        """Width and height of a recipe's pixels in micrometres, where its stage map says so."""
        stage = self._stage(recipe)
        return None if stage is None else stage.pixel_um

    def assign(
        self,
        findings: Sequence[DefectFinding],
        decision: Decision,
        *,
        recipe: str | None,
        site: str | None,
        size: tuple[int, int],
    ) -> tuple[list[DefectFinding], Decision, list[str]]:
        """Defects with place and bin, the decision that follows, never a milder one, and why it is stricter.

        Args:
            findings: Of one image. decision: About it so far.
            site: Inspection point; without one, or with one that the stage map does not hold, places are not known, and
                rules take what is worse for granted (`BinRules.assign`).
            size: (width, height) of the image in pixels.
        """
        stage, kept, reasons = self._stage(recipe), [], list[str]()
        for finding in findings:
            if stage is not None and stage.pixel_um is not None and site in stage.sites and site is not None:
                finding = stage.located(finding, site, size)
            binned = self.rules.assign(finding, decision)
            if binned.decision is not decision:
                reasons.append(f"{binned.reason} is {binned.decision.value}")
                decision = binned.decision
            kept.append(binned.finding)
        return kept, decision, reasons

    def _stage(self, recipe: str | None) -> StageMap | None:
        return self.stages.get(recipe or "", self.stages.get(""))


def load_bins(rules: str | Path, stages: Sequence[str] = ()) -> DefectBins:
    """Rules and stage maps from their files.

    Args:
        rules: File of bin rules.
        stages: Each FILE, of every recipe, or RECIPE=FILE.

    Raises:
        InputError: A file cannot be read. ConfigurationError: It is wrong, or two are of one recipe.
    """
    found: dict[str, StageMap] = {}
    for one in stages:
        recipe, equals, path = one.partition("=")
        recipe, path = (recipe, path) if equals else ("", one)
        if recipe in found:
            raise ConfigurationError(f"two stage maps are given for {recipe or 'every recipe'}")
        found[recipe] = load_stage(path)
    return DefectBins(load_rules(rules), found)
