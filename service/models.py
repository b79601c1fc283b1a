"""The models in use: which version an image is inspected with. Switched between two images, never within one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tool_side import Inspector, load_bundle


@dataclass(frozen=True)
class Version:
    """A loaded bundle. name: as answers name it. bundle: `Bundle.id`."""

    name: str
    bundle: str
    inspector: Inspector


class Models:
    """The versions that this worker holds loaded, and the one in use.

    A request reads :meth:`current` once and stays with what it got. Other versions are kept warm, so that a switch
    costs nothing.
    """

    def __init__(self, version: Version) -> None:
        self._lock = threading.Lock()
        self._warm: dict[str, Version] = {version.name: version}
        self._current = version

    def current(self) -> Version:
        """The version in use."""
        return self._current

    def warm(self) -> Mapping[str, Version]:
        """All loaded versions by name."""
        return dict(self._warm)

    def add(self, version: Version) -> None:
        """Hold a further version loaded."""
        with self._lock:
            self._warm[version.name] = version

    def use(self, name: str) -> Version:
        """Take another version into use. Raises KeyError if it is not loaded."""
        with self._lock:
            self._current = self._warm[name]
            return self._current

    def drop(self, name: str) -> None:
        """Let a version go that is not in use."""
        with self._lock:
            if name != self._current.name:
                self._warm.pop(name, None)


def load_version(
    path: str | Path, name: str | None = None, *, threads: int = 1, public_key: str | Path | None = None
) -> Version:
    """Load a bundle.

    Args:
        path: Of the bundle.
        name: As answers name it; default the bundle's identity.
        threads: Of onnxruntime.
        public_key: File of the key that it must be signed with.

    Raises:
        InputError: The bundle is refused, or its graphs do not run.
    """
    bundle = load_bundle(path, public_key=public_key)
    return Version(name or bundle.id[:12], bundle.id, Inspector(bundle, threads=threads))
