"""The scores that a calibration works on: checked, counted, and divided where none may serve twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from router.bounds import images_for_order
from router.config import RouterConfig
from wafer_data.errors import InputError

PICK_EVERY = 3


@dataclass(frozen=True)
class Defects:
    """Labelled defects that calibrate: raw scores of both students, each (m,), and each one's type, (m,) str."""

    lowres: np.ndarray
    full: np.ndarray
    types: np.ndarray

    @property
    def count(self) -> int:
        """m; 0 if there are none."""
        return int(self.lowres.size)

    @property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Both students' scores."""
        return self.lowres, self.full

    @property
    def names(self) -> list[str]:
        """The types, sorted."""
        return sorted({str(name) for name in self.types})

    def by_type(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each type with a mask (m,) of its defects."""
        for name in self.names:
            yield name, self.types == name


def picking_mask(count: int, choosing: bool) -> np.ndarray:
    """True (bool, shape (count,)) for the normals that estimate the scales and, if `choosing`, the weight.

    All of them where the weight is given: no decision then depends on the scales (`standardise.z_weight`). Every third
    where it is chosen: the others then calibrate untouched. By position, so that both parts cover all modules or tools
    alike.
    """
    return np.arange(count) % PICK_EVERY == 0 if choosing else np.ones(count, dtype=bool)


def checked_pair(what: str, lowres: np.ndarray, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both students' scores of the same images as float64 arrays of shape (n,), all finite and positive.

    `what` names the images in the InputError that is raised otherwise.
    """
    low, high = np.asarray(lowres, dtype=np.float64), np.asarray(full, dtype=np.float64)
    if low.ndim != 1 or low.shape != high.shape:
        raise InputError(
            f"{what} scores: both students must score the same images, "
            f"got shapes {low.shape} and {high.shape}"
        )
    for name, values in (("low-resolution", low), ("full", high)):
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            raise InputError(
                f"{what} scores of the {name} student: {bad.size} of {values.size} are not finite and "
                f"positive, the first at position {bad[0]} ({values[bad[0]]}); train that student again"
            )
    return low, high


def optional_pair(
    what: str, lowres: np.ndarray | None, full: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """As :func:`checked_pair`; None when neither is given, InputError when one is missing."""
    if lowres is None and full is None:
        return None
    if lowres is None or full is None:
        raise InputError(f"{what} scores: give those of both students or none")
    return checked_pair(what, lowres, full)


def checked_defects(
    lowres: np.ndarray | None, full: np.ndarray | None, types: Sequence[str] | None
) -> Defects:
    """Labelled defects from what was given of them; without `types` all are of the type "defect"."""
    pair = optional_pair("labelled defect", lowres, full)
    if pair is None:
        return Defects(np.empty(0), np.empty(0), np.empty(0, dtype=str))
    names = np.asarray(types if types is not None else ["defect"] * pair[0].size, dtype=str)
    if names.shape != pair[0].shape:
        raise InputError(f"labelled defects: {names.size} types for {pair[0].size} scores")
    return Defects(*pair, names)


def require_enough(
    count: int, config: RouterConfig, remedy: str = "Add normal images, raise data.calibration_fraction"
) -> None:
    """Raises InputError naming the number of normals that `config` needs, and the remedy, when `count` is less."""
    needed = max(images_for_order(1, rate) for rate in (config.escalation_budget[1], config.flag_rate))
    usable = int((~picking_mask(count, True)).sum()) if config.chooses_weight else count
    if usable < needed:
        total = -(-needed * PICK_EVERY // (PICK_EVERY - 1)) if config.chooses_weight else needed
        raise InputError(
            f"{count} calibration normals are too few for at most {config.escalation_budget[1]:.2%} escalated and a "
            f"flag rate of {config.flag_rate:.2%}: {total} are needed, and {count} carry no rate below "
            f"{1 / (usable + 1):.2%}. {remedy}, or raise router.escalation_budget and router.flag_rate"
        )
