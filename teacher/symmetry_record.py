"""What was measured of a surface's symmetries: the file that `teacher.symmetry` writes, read without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wafer_data.errors import InputError
from wafer_data.files import read_json

SYMMETRIES = "symmetries.json"
SCHEMA = 3
SHIFT = "shift"
"""The change that tells whether every image shows the same place: by `SHIFT_PIXELS` up, down, left or right."""
SHIFT_PIXELS = 16
LOOSE = 0.7
"""An AUROC of shifted normals against others below which a surface is placed a little otherwise in every image."""

FEWEST_JUDGED = 20
"""With fewer images the 95 % interval of the AUROC reaches 0.18 and more to either side, and nothing is concluded."""


UNSURE = 0.1
"""The interval's upper end may lie that far above the limit: of few images, none would ever be sure enough."""


def exact_symmetries(changes: dict[str, Any], limit: float) -> list[str]:
    """The changes after which normals cannot be told from others, so that a changed image is one more normal.

    Args:
        changes: Name -> `auroc` and `interval95`.
        limit: The AUROC must be below it, the upper end of its interval not `UNSURE` or more above it.
    """
    return [
        name
        for name, found in changes.items()
        if found["auroc"] is not None and found["auroc"] < limit and found["interval95"][1] < limit + UNSURE
    ]


def loosely_placed(teacher_dir: Path) -> bool:
    """Whether the surface lies a little otherwise in every image; False where nothing was measured.

    Raises:
        InputError: `symmetries.json` is broken or of another schema.
    """
    return (teacher_dir / SYMMETRIES).is_file() and bool(read_symmetries(teacher_dir)["loose"])


def read_symmetries(teacher_dir: Path) -> dict[str, Any]:
    """What `teacher.symmetry.measure_symmetries` found, as it returned it.

    Raises:
        InputError: the file is missing, broken or of another schema.
    """
    path = teacher_dir / SYMMETRIES
    if not path.is_file():
        raise InputError(
            f"{path} does not exist: adapt the teacher again, which measures the surface's symmetries, or set "
            "distill.pool.flips to all or none"
        )
    content: dict[str, Any] = read_json(path)
    if content.get("schema") != SCHEMA:
        raise InputError(
            f"{path}: schema {content.get('schema')}, expected {SCHEMA}; adapt the teacher again"
        )
    return content
