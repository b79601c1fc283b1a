"""The site's rules, from a TOML file: what is decided beyond the policy. A rule can only make a decision stricter.

    [[rule]]
    name = "metal 1 is always looked at"
    when = { layer = ["M1", "M1_*"] }
    then = "review"

    [[rule]]
    name = "etcher 7 is in quarantine"
    when = { tool = "ETCH-07" }
    then = "quarantine"

    [[rule]]
    name = "sample of what passes"
    share = 0.02
    then = "audit"

`then`: "review" makes a PASS a REVIEW, "quarantine" does so too and says that the tool is held, "reject" makes it
REJECT, "audit" leaves a PASS as it is and queues it for a person. `share`: the chance that the rule applies to an
image (default 1). `when`: all of these must fit; a value is a shell pattern, or a list of them; left out: any image.
The same file holds the site's rules of retention (`[retention]`, see `service.retention`), and the types of defects
that the review station offers on the keys 1 to 9:

    [review]
    defect_types = ["scratch", "particle", "bridge"]
"""

from __future__ import annotations

import fnmatch
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wafer_data.errors import InputError

ACTIONS = ("review", "quarantine", "reject", "audit")
FIELDS = ("lot", "wafer_id", "point", "tool", "layer", "recipe")
_KEYS = {"name", "when", "then", "share"}
MOST_RULES = 1000
MOST_TYPES = 9  # keys 1 to 9


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        when: Field to patterns, of which one must fit.
        share: Of the images it speaks of, in (0, 1].
    """

    name: str
    then: str
    when: Mapping[str, tuple[str, ...]]
    share: float = 1.0

    def matches(self, about: Mapping[str, str | None]) -> bool:
        """Whether it speaks of images of this description."""
        for field, patterns in self.when.items():
            value = about.get(field)
            if value is None or not any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns):
                return False
        return True


@dataclass(frozen=True)
class Retention:
    """How long images are kept; None: for ever. pass_share: of PASS images, the share that is kept `days` long.

    Attributes:
        pass_days: Days of other PASS images.
        days: Days of all other images.
        budget_bytes: What all images together may take.
    """

    pass_share: float = 0.0
    pass_days: float | None = None
    days: float | None = None
    budget_bytes: int | None = None


@dataclass(frozen=True)
class SiteRules:
    """All rules of a site, in the file's order.

    Attributes:
        identity: Of the file's content, as it is kept with each decision.
        defect_types: What the review station offers; empty: what the bundle knows and people named.
    """

    rules: tuple[Rule, ...] = ()
    identity: str | None = None
    retention: Retention = Retention()
    defect_types: tuple[str, ...] = ()


def drawn(rule: Rule, salt: bytes, image_key: str) -> bool:
    """Whether an image is among the rule's share: the same on every node and for every retry, unknown outside."""
    if rule.share == 1:
        return True
    digest = hashlib.sha256(b"\0".join((salt, rule.name.encode(), image_key.encode()))).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < rule.share


def read_rules(path: Path) -> SiteRules:
    """Read and check a file of rules.

    Raises:
        InputError: It cannot be read, is no TOML, or a rule is malformed; names the rule and the key.
    """
    try:
        data = path.read_bytes()
        parsed = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: the rules cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML ({error})") from error
    unknown = sorted(set(parsed) - {"rule", "retention", "review"})
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]!r}; it holds [[rule]], [retention] and [review]")
    entries = parsed.get("rule", [])
    if not isinstance(entries, list) or len(entries) > MOST_RULES:
        raise InputError(f"{path}: rules are written as [[rule]], at most {MOST_RULES} of them")
    rules: list[Rule] = []
    for number, entry in enumerate(entries, 1):
        rule = _rule(entry, f"{path}: rule {number}")
        if rule.name in {other.name for other in rules}:
            raise InputError(f"{path}: two rules are named {rule.name!r}")
        rules.append(rule)
    retention = _retention(parsed.get("retention", {}), f"{path}: retention")
    types = _defect_types(parsed.get("review", {}), f"{path}: review")
    return SiteRules(tuple(rules), hashlib.sha256(data).hexdigest()[:16], retention, types)


def _defect_types(entry: Any, where: str) -> tuple[str, ...]:
    if not isinstance(entry, dict) or not set(entry) <= {"defect_types"}:
        raise InputError(f"{where}: expected a table of defect_types")
    types = entry.get("defect_types", [])
    good = isinstance(types, list) and all(
        isinstance(name, str) and 0 < len(name.strip()) <= 100 and name.isprintable() for name in types
    )
    if not good or len(set(types)) != len(types) or len(types) > MOST_TYPES:
        raise InputError(f"{where}: defect_types must be a list of at most {MOST_TYPES} different texts")
    return tuple(types)


def _retention(entry: Any, where: str) -> Retention:
    allowed = {"pass_share", "pass_days", "days", "budget_gb"}
    if not isinstance(entry, dict) or not set(entry) <= allowed:
        raise InputError(f"{where}: expected a table of {', '.join(sorted(allowed))}")
    for key, value in entry.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise InputError(f"{where}: {key} must be a number of at least 0, not {value!r}")
    if entry.get("pass_share", 0) > 1:
        raise InputError(f"{where}: pass_share is a share, at most 1")
    if entry.get("pass_days", 0) > entry.get("days", 1e9):
        raise InputError(f"{where}: pass_days must not be longer than days")
    budget = entry.get("budget_gb")
    return Retention(
        float(entry.get("pass_share", 0)),
        entry.get("pass_days"),
        entry.get("days"),
        None if budget is None else round(budget * 1e9),
    )


def _rule(entry: Any, where: str) -> Rule:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected a table")
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    name, then, share = entry.get("name"), entry.get("then"), entry.get("share", 1.0)
    if not isinstance(name, str) or not 0 < len(name) <= 120 or not name.isprintable():
        raise InputError(f"{where}: name must be a text of 1 to 120 printable characters")
    if then not in ACTIONS:
        raise InputError(f"{where} ({name}): then must be one of {', '.join(ACTIONS)}, not {then!r}")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InputError(f"{where} ({name}): share must be a number above 0 and at most 1, not {share!r}")
    when = entry.get("when", {})
    if not isinstance(when, dict):
        raise InputError(f'{where} ({name}): when must be a table, like {{ layer = "M1" }}')
    conditions: dict[str, tuple[str, ...]] = {}
    for field, patterns in when.items():
        if field not in FIELDS:
            raise InputError(f"{where} ({name}): when knows {', '.join(FIELDS)}, not {field!r}")
        listed = patterns if isinstance(patterns, list) else [patterns]
        if not listed or not all(isinstance(text, str) and text for text in listed):
            raise InputError(f"{where} ({name}): {field} must be a text or a list of texts")
        conditions[field] = tuple(listed)
    if then == "quarantine" and "tool" not in conditions:
        raise InputError(f"{where} ({name}): quarantine needs a tool in when")
    return Rule(name, str(then), conditions, float(share))
