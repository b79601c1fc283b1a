"""The regression set: defects that were found once, kept for good. No version may lose one unnamed.

A folder a type, files named by the images' SHA-256, shared by all retrainings. It only grows, but for images whose
label people corrected. None of them is ever trained on: which wafers' defects come here is a hash of the wafer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from wafer_data.files import write_bytes

_NAME = re.compile(r"([0-9a-f]{64})\.(png|tif|jpg|bmp)")


def kept(folder: Path) -> dict[str, Path]:
    """What is there: files by the SHA-256 of their bytes."""
    found = {}
    for path in sorted(folder.glob("*/*")):
        name = _NAME.fullmatch(path.name)
        if name and path.parent.name[0] != ".":
            found[name[1]] = path
    return found


def bring_up_to_date(
    folder: Path, new: Mapping[str, tuple[str, str, bytes]], corrected: Mapping[str, str | None]
) -> dict[str, Path]:
    """Add defects, and follow corrected labels. May be killed at any moment and done again.

    Args:
        folder: Of the regression set.
        new: By SHA-256: type, suffix with its dot, bytes.
        corrected: By SHA-256, for images that people spoke about again: the type, or None: it is no defect.

    Returns:
        What is there now, by SHA-256.
    """
    there = kept(folder)
    for sha, (kind, suffix, data) in new.items():
        if sha not in there:
            write_bytes(folder / kind / f"{sha}{suffix}", data)
    for sha, kind_now in corrected.items():
        old = there.get(sha)
        if old is None or old.parent.name == kind_now:
            continue
        if kind_now is not None:
            write_bytes(folder / kind_now / old.name, old.read_bytes())
        old.unlink()
    return kept(folder)
