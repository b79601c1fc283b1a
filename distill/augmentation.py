"""Which mirrored and turned copies the training pool holds, and why: decided a data set at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.config import PoolConfig
from teacher.symmetry_record import FEWEST_JUDGED, read_symmetries
from wafer_data.augment import AugmentConfig

SCHEMA = 1
_WORDS = {
    "horizontal_flip": "mirrored left-right",
    "vertical_flip": "mirrored top-bottom",
    "rotate90": "turned by 90 degrees",
}
_MIRRORS = ("horizontal_flip", "vertical_flip")


@dataclass(frozen=True)
class Augmentation:
    """The changes in use, every flip true or false, and a sentence for each flip that says why.

    Attributes:
        foreign: Mirrors that the surface does not have. Copies so mirrored show the students more of what
            their teacher sees, and count as anomalies, not as normals.
        exact: Changes after which normals cannot be told from others; the likelihood is fitted to copies so
            changed, too.
    """

    config: AugmentConfig
    foreign: AugmentConfig
    reasons: dict[str, str]
    exact: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Content of `augmentation.json`."""
        return {
            "schema": SCHEMA,
            "augment": self.config.model_dump(mode="json"),
            "anomalous": self._anomalous,
            "in_the_fit": list(self.exact),
            "reasons": self.reasons,
        }

    @property
    def _anomalous(self) -> list[str]:
        return [name for name in _WORDS if getattr(self.foreign, name)]


def choose_augmentation(config: PoolConfig, teacher_dir: Path) -> Augmentation:
    """Settle the flips that `config.augment` leaves open by `config.flips`.

    Args:
        teacher_dir: holds what the teacher measured; read only where that decides.

    Raises:
        InputError: `symmetries.json` is needed and missing or of another schema.
    """
    given = {name: getattr(config.augment, name) for name in _WORDS}
    measured: dict[str, Any] = {}
    if config.flips == "measured" and None in given.values():
        measured = read_symmetries(teacher_dir)
    chosen, reasons, foreign = {}, {}, {}
    exact: list[str] = []
    for name, value in given.items():
        if value is not None:
            chosen[name] = value
            reasons[name] = f"set by distill.pool.augment.{name}={str(value).lower()}"
        elif config.flips == "measured":
            chosen[name], reasons[name] = _judge(name, measured, config.symmetry_limit)
            told_apart = not chosen[name] and measured["changes"][name]["auroc"] is not None
            if told_apart and name in _MIRRORS and config.foreign_mirrors:
                foreign[name] = True
                reasons[name] += "; copies so mirrored join as anomalies"
            if chosen[name] and name in measured["exact"]:
                exact.append(name)
                reasons[name] += ", in the fit of the likelihood too"
        else:
            chosen[name] = config.flips == "all"
            reasons[name] = f"set by distill.pool.flips={config.flips}"
    augment = config.augment.model_copy(update=chosen)
    return Augmentation(augment, AugmentConfig(**foreign), reasons, tuple(exact))


def _judge(name: str, measured: dict[str, Any], limit: float) -> tuple[bool, str]:
    """Whether a change is used, and the sentence that gives the reason."""
    found = measured["changes"][name]
    auroc = found["auroc"]
    if auroc is None:
        return False, (
            f"{measured['judged']} normals to judge it on are too few, {FEWEST_JUDGED} are needed: left out, because "
            "a wrong symmetry teaches that a turned part is normal"
        )
    low, high = found["interval95"]
    told = f"AUROC {auroc:.2f} (95 % interval {low:.2f} to {high:.2f}, limit {limit:.2f})"
    if auroc < limit:
        return True, f"{_WORDS[name]}, normals are hardly told from others, with {told}: used"
    return False, f"{_WORDS[name]}, normals are distinguished with {told}: this surface has no such symmetry"
