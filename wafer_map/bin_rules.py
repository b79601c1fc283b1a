"""Bins by rule: a defect's type, size and place on the die decide its bin and disposition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.decision import REVIEW, Decision
from wafer_data.defect import UNKNOWN, DefectFinding
from wafer_map.areas import Area

ELSEWHERE = "elsewhere"
_SEVERITY = list(Decision)


@dataclass(frozen=True)
class Bin:
    """A bin.

    Attributes:
        rough, fine: numbers for ROUGHBINNUMBER and FINEBINNUMBER. class_number: for CLASSNUMBER; None leaves it.
        disposition: REVIEW or REJECT. A bin never makes a decision milder.
        killer: whether its defects kill a die; otherwise they are a nuisance.
    """

    rough: int
    fine: int = 0
    class_number: int | None = None
    disposition: Decision = REVIEW
    killer: bool = False


@dataclass(frozen=True)
class Rule:
    """A rule; the first that fits decides. What is not given fits everything.

    Attributes:
        bin: name of the bin. types: names of defect types.
        min_um, max_um: length in micrometres, from (inclusive) and to (exclusive).
        min_pixels, max_pixels: length in pixels, likewise.
        area: name of a critical area, or "elsewhere": in none of them.
        min_probability: least probability of the type.
    """

    bin: str
    types: tuple[str, ...] = ()
    min_um: float | None = None
    max_um: float | None = None
    min_pixels: float | None = None
    max_pixels: float | None = None
    area: str | None = None
    min_probability: float | None = None


@dataclass(frozen=True)
class ErrorCosts:
    """What errors cost, in any one currency: a killer taken for a nuisance, and a nuisance taken for a killer."""

    missed_killer: float = 1.0
    false_killer: float = 1.0


@dataclass(frozen=True)
class Binned:
    """A defect with its bin, and the decision that follows for its image."""

    finding: DefectFinding
    bin: Bin
    decision: Decision
    reason: str


@dataclass(frozen=True)
class BinRules:
    """A file of rules. `load_rules` reads and checks one.

    Attributes:
        bins: by name. rules: in order. otherwise: the bin where no rule fits.
        areas: critical areas of the die by name.
        costs: what errors cost.
    """

    bins: Mapping[str, Bin]
    rules: tuple[Rule, ...]
    otherwise: str
    areas: Mapping[str, Area]
    costs: ErrorCosts = ErrorCosts()

    def assign(self, finding: DefectFinding, decision: Decision) -> Binned:
        """The bin of a defect.

        Where types have probabilities, each type's bin is found, and the defect counts as a killer if that is the
        cheaper error: P(killer) x missed_killer >= P(nuisance) x false_killer (Elkan 2001, the optimal decision under
        costs). Of the bins on that side, the most probable is taken.

        Args:
            finding: the defect. decision: of its image, which is never made milder.

        Returns:
            The defect with bin and killer, and the decision.
        """
        chances: dict[str, float] = {}
        # of an unknown defect the probabilities say only which known type it would be if it were of one
        known = {} if finding.type == UNKNOWN else dict(finding.probabilities)
        for kind, probability in (known or {finding.type: 1.0}).items():
            name = self._bin_of(finding, kind, finding.probabilities.get(kind))
            chances[name] = chances.get(name, 0.0) + probability
        killers = sum(p for name, p in chances.items() if self.bins[name].killer)
        nuisances = sum(chances.values()) - killers
        killer = killers > 0 and killers * self.costs.missed_killer >= nuisances * self.costs.false_killer
        name = max((n for n in chances if self.bins[n].killer == killer), key=chances.__getitem__)
        found = self.bins[name]
        severest = max(decision, found.disposition, key=_SEVERITY.index)
        kind = "killer" if found.killer else "nuisance"
        return Binned(
            finding.with_(bin=name, killer=found.killer),
            found,
            severest,
            f"{finding.type}: bin {name} ({kind})",
        )

    def _bin_of(self, finding: DefectFinding, kind: str, probability: float | None) -> str:
        for rule in self.rules:
            answer = self._fits(rule, finding, kind, probability)
            # What cannot be known is taken for what is worse: a killer's rule fits, a nuisance's does not.
            if answer or (answer is None and self.bins[rule.bin].killer):
                return rule.bin
        return self.otherwise

    def _fits(self, rule: Rule, finding: DefectFinding, kind: str, probability: float | None) -> bool | None:
        """Whether a rule fits; None where something it asks for is not known."""
        if rule.types and kind not in rule.types:
            return False
        answers: list[bool | None] = [
            _within(finding.length_um, rule.min_um, rule.max_um),
            _within(finding.length, rule.min_pixels, rule.max_pixels),
        ]
        if rule.min_probability is not None:
            answers.append(None if probability is None else probability >= rule.min_probability)
        if rule.area is not None:
            answers.append(self._in_area(rule.area, finding))
        if any(answer is False for answer in answers):
            return False
        return None if any(answer is None for answer in answers) else True

    def _in_area(self, name: str, finding: DefectFinding) -> bool | None:
        if finding.on_die is None:
            return None
        x, y = finding.on_die
        reach = (finding.length_um or 0.0) / 2  # a defect that touches the area is in it
        names = self.areas if name == ELSEWHERE else (name,)
        inside = any(self.areas[area].touches(x, y, reach) for area in names)
        return inside != (name == ELSEWHERE)


def _within(value: float | None, low: float | None, high: float | None) -> bool | None:
    if low is None and high is None:
        return True
    if value is None:
        return None
    return (low is None or value >= low) and (high is None or value < high)
