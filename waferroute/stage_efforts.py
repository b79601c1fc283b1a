"""How long the stages of a run take in proportion to each other: seconds on two cores of a first-generation EPYC.

Only the proportions count (`waferroute.run_clock`). What a stage works on is read from the run folder as far as it is
there: before the images are read their number is a guess, before the teacher is adapted nobody knows how many copies
the students will see.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from waferroute.config import RunConfig

_GUESS = {"train_normal": 600, "calibration_normal": 150, "test_normal": 200, "test_defect": 200}
_BASIS = 20.0
_ADAPT = 0.15
"""An image, one way round; features, symmetries, questions and the closed form."""
_TARGETS = 0.038
"""An image: the teacher's features of the pool."""
_EPOCH = {"intermediate": 0.027, "target": 0.025, "full": 0.0095, "lowres": 0.0023}
"""An image of the pool, once."""
_FINER_MAP = 3.0
"""What an epoch of the low-resolution student takes with the map of surfaces that ask more than places."""
_FIT = 0.06
"""A training normal, in the closed-form fit of a student's likelihood and its decoder."""
_CALIBRATE, _EXPORT, _EVALUATE = 0.05, 40.0, 0.25
_PIXEL_VAE_EPOCH = 0.05


def data(config: RunConfig, run_dir: Path) -> float:
    """Reading the images: next to nothing."""
    return 0.005 * sum(_counts(run_dir).values())


def adapt(config: RunConfig, run_dir: Path) -> float:
    """Of the teacher."""
    return _BASIS + _ADAPT * _counts(run_dir)["train_normal"]


def student(name: str, config: RunConfig, run_dir: Path) -> float:
    """Of the stage `name`: one trained model."""
    stage = config.distill.stage_of(name, _asks_more(run_dir))
    normals = min(_counts(run_dir)["train_normal"], config.distill.pool.max_originals)
    pool = normals + stage.copies * config.distill.pool.generated
    finer = name == "lowres" and stage.student != getattr(config.distill, name).student
    epochs = (_FINER_MAP if finer else 1.0) * stage.epochs
    return pool * (_TARGETS * (name == "intermediate") + _EPOCH[name] * epochs) + _FIT * normals


def calibrate(config: RunConfig, run_dir: Path) -> float:
    """Of the router."""
    return _CALIBRATE * _counts(run_dir)["calibration_normal"]


def export(config: RunConfig, run_dir: Path) -> float:
    """Of the bundle: its checks, mostly."""
    return _EXPORT


def evaluate(config: RunConfig, run_dir: Path) -> float:
    """Of the report, with the training of the pixel VAE where it is asked for."""
    counts = _counts(run_dir)
    seconds = _EVALUATE * (counts["test_normal"] + counts["test_defect"])
    if "pixel_vae" in config.eval.baselines:
        seconds += _PIXEL_VAE_EPOCH * config.eval.pixel_vae.epochs * counts["train_normal"]
    return seconds


def _counts(run_dir: Path) -> dict[str, int]:
    """Images of the split; a guess before it is made."""
    try:
        found = _read_counts(*_state(run_dir / "data" / "split.json"))
        return {name: int(found[name]) for name in _GUESS}
    except (OSError, ValueError, KeyError, TypeError):
        return dict(_GUESS)


def _state(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1)
def _read_counts(path: Path, changed_ns: int, size: int) -> dict[str, Any]:
    """Read once as long as it stays the same: all stages ask, and of half a million images it is a large file."""
    counts: dict[str, Any] = json.loads(path.read_text())["counts"]
    return counts


def _asks_more(run_dir: Path) -> bool:
    """Whether the adapted teacher asks more than places; not before it is adapted."""
    try:
        return bool(json.loads((run_dir / "teacher" / "teacher.json").read_text())["answers"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
