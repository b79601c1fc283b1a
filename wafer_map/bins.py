"""A file of bin rules, JSON or TOML, read and checked."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from router.decision import REJECT, REVIEW
from wafer_data.defect import UNKNOWN
from wafer_data.errors import ConfigurationError, InputError
from wafer_data.files import read_json
from wafer_map.areas import Area, Boxes, read_mask
from wafer_map.bin_rules import ELSEWHERE, Bin, Binned, BinRules, ErrorCosts, Rule
from wafer_map.plain_numbers import is_number

__all__ = ["Bin", "BinRules", "Binned", "ErrorCosts", "Rule", "load_rules", "rules_from"]

SCHEMA = 1
LEAST_ROUGH = 2
"""0 says that a list is not binned yet, and 1 that a defect is PASS, which no rule may say."""
_LARGEST = 2**31 - 1  # 1.8 lists declare these columns as int32


def load_rules(path: str | Path) -> BinRules:
    """The rules of a JSON or TOML file.

    Raises:
        InputError: the file cannot be read. ConfigurationError: a rule is wrong; names it and what is allowed.
    """
    path = Path(path)
    if path.suffix.lower() != ".toml":
        return rules_from(read_json(path, keys_once=True), str(path), path.parent)
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
    if not isinstance(otherwise, str) or otherwise not in bins:
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
    if "rough" not in value:
        raise ConfigurationError(f"{source}: rough is missing")
    if value.get("disposition", "REVIEW") not in ("REVIEW", "REJECT"):
        raise ConfigurationError(
            f"{source}: disposition must be REVIEW or REJECT: a bin makes no decision milder"
        )
    for name, least in (("rough", LEAST_ROUGH), ("fine", 0), ("class_number", 0)):
        if name in value and not _is_whole(value[name], least):
            told = " (0 says not binned yet, 1 says PASS)" if name == "rough" else ""
            raise ConfigurationError(
                f"{source}: {name} must be a whole number from {least} to {_LARGEST}{told}, got {value[name]!r:.60}"
            )
    if not isinstance(value.get("killer", False), bool):
        raise ConfigurationError(f"{source}: killer must be true or false")
    return Bin(**{**value, "disposition": REJECT if value.get("disposition") == "REJECT" else REVIEW})


def _rule(value: Any, source: str, bins: Mapping[str, Bin], areas: Mapping[str, Any]) -> Rule:
    value = _object(value, source, {entry.name for entry in fields(Rule)})
    if not isinstance(value.get("bin"), str) or value["bin"] not in bins:
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


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _LARGEST


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
