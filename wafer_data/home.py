"""Paths of the configuration: as text or `Path`, and `~` for the home folder, as everywhere else a path is typed."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator


def expand(path: str) -> str:
    """The path with a leading `~` or `~user` replaced by that home folder.

    Any other path, and one whose user is not known, stays as it is.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        return path


def _text(path: Any) -> Any:
    """A program gives a `Path` where a file has text; a run's record and its hash know text only."""
    return os.fspath(path) if isinstance(path, os.PathLike) else path


PathText = Annotated[str, BeforeValidator(_text), AfterValidator(expand)]
"""Text of a path in a section of the configuration."""
