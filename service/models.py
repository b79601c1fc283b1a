"""The models in use: which version an image is inspected with. Switched between two images, never within one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from router.canary import CANARY, Arm, arm_of
from tool_side import Inspector, load_bundle


@dataclass(frozen=True)
class Version:
    """A loaded bundle.

    Attributes:
        name: As answers name it.
        bundle: `Bundle.id`.
    """

    name: str
    bundle: str
    inspector: Inspector


@dataclass(frozen=True)
class Serving:
    """Who decides.

    Attributes:
        champion: Decides every wafer that the canary does not.
        canary: Decides a share of wafers, or None.
        share: That share, in [0, 1].
        rollout: Salt of the hash that draws the canary's wafers; None without a canary.
        seq: Line of the pointer that says so; 0 where there is no pointer.
    """

    champion: Version
    canary: Version | None = None
    share: float = 0.0
    rollout: str | None = None
    seq: int = 0

    def choose(self, wafer: str | None) -> Chosen:
        """Who decides a wafer's images."""
        if self.canary is None or self.rollout is None:
            return Chosen(self.champion, None, None)
        arm = arm_of(self.rollout, wafer, self.share)
        return Chosen(self.canary if arm == CANARY else self.champion, self.rollout, arm)


class Chosen(NamedTuple):
    """The version that decides an image, and the rollout and arm that it counts for; None without a rollout."""

    version: Version
    rollout: str | None
    arm: Arm | None


class Models:
    """The versions that this worker holds loaded, and who of them decides.

    A request asks :meth:`choose` once and stays with what it got. Other versions are kept warm, so that a switch
    costs nothing.
    """

    def __init__(self, version: Version) -> None:
        self._lock = threading.Lock()
        self._warm: dict[str, Version] = {version.name: version}
        self._serving = Serving(version)

    def current(self) -> Version:
        """The version that decides where no canary does."""
        return self._serving.champion

    def serving(self) -> Serving:
        """Who decides now."""
        return self._serving

    def choose(self, wafer: str | None) -> Chosen:
        """Who decides an image of this wafer."""
        return self._serving.choose(wafer)

    def warm(self) -> Mapping[str, Version]:
        """All loaded versions by name."""
        return dict(self._warm)

    def add(self, version: Version) -> None:
        """Hold a further version loaded."""
        with self._lock:
            self._warm[version.name] = version

    def serve(self, serving: Serving) -> None:
        """Let others decide from the next request on."""
        with self._lock:
            self._serving = serving

    def use(self, name: str) -> Version:
        """Let a loaded version decide alone.

        Raises:
            KeyError: If it is not loaded.
        """
        with self._lock:
            self._serving = Serving(self._warm[name], seq=self._serving.seq)
            return self._serving.champion

    def drop(self, name: str) -> None:
        """Let a version go that does not decide."""
        with self._lock:
            serving = self._serving
            if name not in {serving.champion.name, serving.canary.name if serving.canary else None}:
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
