"""Our own packages: where they lie, child processes that find these and no others, and what their code is.

The packages' names (`eval`, `router`, ...) are common words. A folder or file of such a name where Python looks first
would be imported in their place. Standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from wafer_data.errors import ConfigurationError
from wafer_data.log import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds all of our packages."""
_SOURCES = (".py", ".html", ".css", ".json", ".yaml", ".ini")


def child_command(module: str, *arguments: str) -> list[str]:
    """How to start a module of ours in a process of its own: not with what lies in the present folder (`-P`)."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(**more: str) -> dict[str, str]:
    """Environment of such a process, and of its own children: our packages come first on its path."""
    paths = os.environ.get("PYTHONPATH", "")
    ours = os.pathsep.join(filter(None, [str(ROOT), paths]))
    return {**os.environ, "PYTHONPATH": ours, "PYTHONSAFEPATH": "1", **more}


def refuse_foreign_packages() -> None:
    """Make sure that our packages' names lead to our packages.

    Raises:
        ConfigurationError: naming the file or folder that would be imported instead, and what to do.
    """
    for name in PACKAGES:
        module = sys.modules.get(name)
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
        if spec is None or not spec.origin:
            continue
        place = Path(spec.origin)
        if ROOT not in (place.resolve().parent.parent, place.resolve().parent):
            foreign = place.parent if place.name == "__init__.py" else place
            raise ConfigurationError(
                f"{foreign} would be used in place of waferroute's own package {name}, because Python looks there "
                "first: set PYTHONSAFEPATH=1, take that folder out of PYTHONPATH, or start from another folder"
            )


def is_source_tree() -> bool:
    """Whether our packages are edited where they lie: a checkout, also one that is installed with `pip install -e`."""
    return ROOT.name not in ("site-packages", "dist-packages")


@lru_cache
def code_digest(package: str) -> str:
    """Hash over the names and contents of the source files of one of our packages."""
    digest = hashlib.sha256()
    for path in _source_files(ROOT / package):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _source_files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in _SOURCES and path.is_file())
