"""The plan that lots are decided by: what is good, what is bad, and how often a decision may be wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from wafer_data.errors import ConfigurationError
from wafer_data.files import read_json
from wafer_map.plain_numbers import is_number

SCHEMA = 1
ANY = "any"


@dataclass(frozen=True)
class Costs:
    """What errors cost, in any one currency.

    Attributes:
        stop_good_lot: stopping a good lot. run_bad_wafer: each wafer that a bad lot runs on for.
        bad_lots: share of lots that are bad, in (0, 1).
    """

    stop_good_lot: float
    run_bad_wafer: float
    bad_lots: float


@dataclass(frozen=True)
class Killers:
    """Defects of killer bins on one wafer from which on it is held, and stopped; None: never for that alone."""

    hold_at: int | None = None
    stop_at: int | None = None


@dataclass(frozen=True)
class LotPlan:
    """When a wafer or a lot is held or stopped. `from_dict` reads and checks one.

    Attributes:
        good_rate: share of inspected sites with a defect up to which a lot is good, in (0, 1).
        bad_rate: share from which on it is bad, above `good_rate`.
        sites_per_wafer: sites that are inspected on a wafer (the promise for bad lots depends on it).
        wafers_per_lot: wafers of a full lot.
        good_lot_stopped_once_in, good_lot_held_once_in: N; a good lot is stopped (held) at most once in N lots.
        good_wafer_stopped_once_in, good_wafer_held_once_in: the same for wafers.
        bad_lot_runs_at_most: M; a bad lot is stopped before it has run more than M wafers after it turned bad ...
        missed_at_most: ... except with this probability.
        clustering: how defects of one wafer hang together. 0: sites are independent given the lot's rate. In (0, 1):
            the correlation of two sites of a wafer (wafers differ in their rate: beta-binomial counts). "any": nothing
            is assumed but the mean; finished wafers count only, and stopping takes more of them.
        unjudged_at_most: share of a wafer's sites that may be without a judged image before it is held.
        killers: limits for killer defects on one wafer.
        costs: what errors cost; needed by `cheapest_plan` only.
    """

    good_rate: float
    bad_rate: float
    sites_per_wafer: int
    wafers_per_lot: int = 25
    good_lot_stopped_once_in: float = 1000.0
    good_lot_held_once_in: float = 50.0
    good_wafer_stopped_once_in: float = 10_000.0
    good_wafer_held_once_in: float = 500.0
    bad_lot_runs_at_most: int = 3
    missed_at_most: float = 0.05
    clustering: float | str = 0.0
    unjudged_at_most: float = 0.02
    killers: Killers = Killers()
    costs: Costs | None = None

    def __post_init__(self) -> None:
        _check(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by :meth:`from_dict`."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, content: Any, source: str = "lot plan") -> LotPlan:
        """Reads and checks a plan.

        Args:
            content: the parsed JSON object. source: how messages call it.

        Returns:
            The plan. That its promise for bad lots can be kept is `design`'s to say.

        Raises:
            ConfigurationError: an unknown, missing or impossible value; names it and what is allowed.
        """
        if not isinstance(content, Mapping):
            raise ConfigurationError(f"{source}: expected a JSON object")
        values = dict(content)
        if values.pop("schema", None) != SCHEMA:
            raise ConfigurationError(f'{source}: "schema" must be {SCHEMA}')
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigurationError(
                f"{source}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
            )
        for name, kind in (("killers", Killers), ("costs", Costs)):
            inner = values.get(name)
            if inner is None:
                values.pop(name, None)
            elif not isinstance(inner, Mapping) or not set(inner) <= {entry.name for entry in fields(kind)}:
                allowed = ", ".join(entry.name for entry in fields(kind))
                raise ConfigurationError(f"{source}: {name} must be an object of {allowed}")
            else:
                try:
                    values[name] = kind(**inner)
                except TypeError as error:
                    raise ConfigurationError(f"{source}: {name}: {error}") from error
        try:
            return cls(**values)
        except TypeError:
            missing = [n for n in ("good_rate", "bad_rate", "sites_per_wafer") if n not in values]
            raise ConfigurationError(f"{source}: {missing[0]} is missing") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{source}: {error}") from None


def load_plan(path: str | Path) -> LotPlan:
    """The plan of a JSON file. Raises ConfigurationError or InputError where it is unreadable or impossible."""
    return LotPlan.from_dict(read_json(path, keys_once=True), str(path))


def _check(plan: LotPlan) -> None:
    for name in ("good_rate", "bad_rate", "missed_at_most", "unjudged_at_most"):
        _number(name, getattr(plan, name), 0.0, 1.0, open_ends=name != "unjudged_at_most")
    if plan.bad_rate <= plan.good_rate:
        raise ConfigurationError(f"bad_rate {plan.bad_rate} must be above good_rate {plan.good_rate}")
    # beyond these the reckoning takes for ever, and no lot is so large
    for name, most in (
        ("sites_per_wafer", 1_000_000),
        ("wafers_per_lot", 1000),
        ("bad_lot_runs_at_most", 1000),
    ):
        _whole(name, getattr(plan, name), 1, most)
    for unit in ("lot", "wafer"):
        stop, hold = f"good_{unit}_stopped_once_in", f"good_{unit}_held_once_in"
        for name in (stop, hold):
            _number(name, getattr(plan, name), 1.0, 1e12)
        if getattr(plan, hold) > getattr(plan, stop):
            raise ConfigurationError(f"{hold} must not be above {stop}: holding is the milder step")
    if isinstance(plan.clustering, str):
        if plan.clustering != ANY:
            raise ConfigurationError(
                f'clustering must be a number in [0, 1) or "{ANY}", got {plan.clustering!r}'
            )
    else:
        _number("clustering", plan.clustering, 0.0, 0.99)
    for name in ("hold_at", "stop_at"):
        if getattr(plan.killers, name) is not None:
            _whole(f"killers.{name}", getattr(plan.killers, name), 1, 1_000_000)
    if plan.costs is not None:
        _number("costs.stop_good_lot", plan.costs.stop_good_lot, 0.0, math.inf)
        _number("costs.run_bad_wafer", plan.costs.run_bad_wafer, 0.0, math.inf)
        _number("costs.bad_lots", plan.costs.bad_lots, 0.0, 1.0, open_ends=True)


def _number(name: str, value: Any, low: float, high: float, *, open_ends: bool = False) -> None:
    if not is_number(value) or not (low < value < high if open_ends else low <= value <= high):
        sign = "(" if open_ends else "["
        raise ConfigurationError(
            f"{name} must be a number in {sign}{low:g}, {high:g}{')' if open_ends else ']'}, got {value!r}"
        )


def _whole(name: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationError(f"{name} must be a whole number from {least} to {most}, got {value!r}")
