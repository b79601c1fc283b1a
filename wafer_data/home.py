"""`~` in a path of the configuration: the home folder, as everywhere else a path is typed."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def expand(path: str) -> str:
    """The path with a leading `~` or `~user` replaced by that home folder.

    Any other path, and one whose user is not known, stays as it is.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        return path


PathText = Annotated[str, AfterValidator(expand)]
"""Text of a path in a section of the configuration."""
