"""Bins by rule: a defect's type, size and place on the die decide its bin and disposition."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from router.decision import REJECT, REVIEW, Decision
from wafer_data.defect import UNKNOWN, DefectFinding
from wafer_data.errors import ConfigurationError, InputError
from wafer_data.files import read_json
from wafer_map.areas import Area, Boxes, read_mask
from wafer_map.plain_numbers import is_number

SCHEMA = 1
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


def load_rules(path: str | Path) -> BinRules:
    """The rules of a JSON or TOML file.

    Raises:
        InputError: the file cannot be read. ConfigurationError: a rule is wrong; names it and what is allowed.
    """
    path = Path(path)
    if path.suffix.lower() != ".toml":
        return rules_from(read_json(path), str(path), path.parent)
    try:
        return rules_from(tomllib.loads(path.read_text(encoding="utf-8")), str(path), path.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML ({error})") from error


def rules_from(content: Any, source: str = "bin rules", folder: Path | None = None) -> BinRules:
    """Rules from the parsed content of a file; see `load_rules`. Files that it names lie in `folder`."""
    content = _object(content, source, {"schema", "bins", "rules", "otherwise", "areas", "costs"})
    if content.get("schema") != SCHEMA:
        raise ConfigurationError(f'{source}: "schema" must be {SCHEMA}')
    bins = {
        name: _bin(value, f"{source}: bin {name}")
        for name, value in _mapping(content, "bins", source).items()
    }
    areas = {
        name: _area(value, f"{source}: area {name}", folder or Path())
        for name, value in _mapping(content, "areas", source).items()
    }
    if ELSEWHERE in areas:
        raise ConfigurationError(f'{source}: no area can be called "{ELSEWHERE}"')
    listed = content.get("rules", [])
    if not isinstance(listed, list):
        raise ConfigurationError(f"{source}: rules must be a list")
    rules = tuple(_rule(value, f"{source}: rule {i + 1}", bins, areas) for i, value in enumerate(listed))
    otherwise = content.get("otherwise")
    if otherwise not in bins:
        raise ConfigurationError(
            f"{source}: otherwise must name a bin ({', '.join(bins) or 'there is none'})"
        )
    costs = _object(
        content.get("costs", {}), f"{source}: costs", {entry.name for entry in fields(ErrorCosts)}
    )
    for name, value in costs.items():
        costs[name] = _number(value, f"{source}: costs.{name}", 0.0)
    return BinRules(bins, rules, otherwise, areas, ErrorCosts(**costs))


def _bin(value: Any, source: str) -> Bin:
    value = _object(value, source, {entry.name for entry in fields(Bin)})
    for name in ("rough", "fine", "class_number"):
        if name in value and (isinstance(value[name], bool) or not isinstance(value[name], int)):
            raise ConfigurationError(f"{source}: {name} must be a whole number, got {value[name]!r}")
    if "rough" not in value:
        raise ConfigurationError(f"{source}: rough is missing")
    if value.get("disposition", "REVIEW") not in ("REVIEW", "REJECT"):
        raise ConfigurationError(
            f"{source}: disposition must be REVIEW or REJECT: a bin makes no decision milder"
        )
    if not isinstance(value.get("killer", False), bool):
        raise ConfigurationError(f"{source}: killer must be true or false")
    return Bin(**{**value, "disposition": REJECT if value.get("disposition") == "REJECT" else REVIEW})


def _rule(value: Any, source: str, bins: Mapping[str, Bin], areas: Mapping[str, Any]) -> Rule:
    value = _object(value, source, {entry.name for entry in fields(Rule)})
    if value.get("bin") not in bins:
        raise ConfigurationError(f"{source}: bin {value.get('bin')!r} is not one of {', '.join(bins)}")
    types = value.get("types", [])
    if not isinstance(types, list) or not all(isinstance(kind, str) and kind for kind in types):
        raise ConfigurationError(
            f'{source}: types must be a list of names; "{UNKNOWN}" is the unclassified one'
        )
    for name in ("min_um", "max_um", "min_pixels", "max_pixels", "min_probability"):
        if name in value:
            value[name] = _number(
                value[name], f"{source}: {name}", 0.0, 1.0 if name == "min_probability" else math.inf
            )
    for unit in ("um", "pixels"):
        if value.get(f"min_{unit}", 0.0) >= value.get(f"max_{unit}", math.inf):
            raise ConfigurationError(f"{source}: min_{unit} must be below max_{unit}, or nothing fits")
    if value.get("area") is not None and value["area"] not in (*areas, ELSEWHERE):
        raise ConfigurationError(
            f"{source}: area {value['area']!r} is not one of {', '.join([*areas, ELSEWHERE])}"
        )
    return Rule(**{**value, "types": tuple(types)})


def _within(value: float | None, low: float | None, high: float | None) -> bool | None:
    if low is None and high is None:
        return True
    if value is None:
        return None
    return (low is None or value >= low) and (high is None or value < high)


def _mapping(content: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    value = content.get(name, {})
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{source}: {name} must be an object")
    return value


def _object(content: Any, source: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{source}: expected an object")
    if unknown := sorted(set(content) - known):
        raise ConfigurationError(
            f"{source}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    return dict(content)


def _number(value: Any, source: str, low: float, high: float = math.inf) -> float:
    if not is_number(value) or not low <= value <= high:
        raise ConfigurationError(f"{source} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def _area(value: Any, source: str, folder: Path) -> Area:
    if isinstance(value, Mapping):
        value = _object(value, source, {"mask", "pixel_um"})
        if not isinstance(value.get("mask"), str) or not value["mask"]:
            raise ConfigurationError(f"{source}: mask must name an image file")
        return read_mask(folder / value["mask"], _number(value.get("pixel_um"), f"{source}: pixel_um", 1e-6))
    if not isinstance(value, list) or not value:
        raise ConfigurationError(
            f"{source} must be a list of boxes [left, bottom, right, top], or a mask and its pixel_um"
        )
    return Boxes(tuple(_box(box, source) for box in value))


def _box(value: Any, source: str) -> tuple[float, float, float, float]:
    good = isinstance(value, list) and len(value) == 4
    numbers = [_number(v, f"{source}: a box's side", -math.inf) for v in value] if good else []
    if len(numbers) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise ConfigurationError(
            f"{source}: a box is [left, bottom, right, top] in micrometres, got {value!r}"
        )
    return numbers[0], numbers[1], numbers[2], numbers[3]
