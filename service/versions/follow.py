"""A worker follows the pointer: it keeps versions warm, switches between two requests, and says which line it serves.

A version that does not load changes nothing for the line: the worker goes on with what it has and says why. Versions
are tried in a process of their own before a worker loads them, so that one that crashes takes no worker with it.
"""

from __future__ import annotations

import logging
import threading

from service.models import Models, Serving, Version, load_version
from service.versions.folder import Pointer, VersionFolder
from tool_side.agent.trial import try_bundle
from wafer_data.errors import InputError

_LOG = logging.getLogger(__name__)

EVERY_S = 0.2


def first_version(folder: VersionFolder, *, threads: int = 1) -> tuple[Version, Pointer]:
    """What a worker starts with: the champion, or the version before it if the champion does not load.

    Raises:
        InputError: Nothing is in use, or neither loads.
    """
    pointer = folder.pointer()
    if pointer is None:
        raise InputError(f"{folder.path} has no version in use: push and promote one")
    problems = []
    for name in (pointer.champion, pointer.previous):
        if name is None:
            continue
        path = folder.bundle(name)
        problem = try_bundle(path, folder.public_key)
        if problem is None:
            return load_version(path, name, threads=threads, public_key=folder.public_key), pointer
        problems.append(f"{name}: {problem}")
        _LOG.error("%s", problems[-1])
    raise InputError(f"no version of {folder.path} can be served: {'; '.join(problems)}")


class Follower:
    """Follows a folder of versions for one worker.

    Args:
        folder: Of the versions.
        models: What the worker serves from.
        worker: Its name, unique on this machine.
        threads: Of onnxruntime.
        every_s: Seconds between looks.
    """

    def __init__(
        self,
        folder: VersionFolder,
        models: Models,
        worker: str,
        *,
        threads: int = 1,
        every_s: float = EVERY_S,
    ) -> None:
        self._folder, self._models, self._worker = folder, models, worker
        self._threads, self._every = threads, every_s
        self._refused: dict[str, str] = {}
        self._seq, self._said = 0, (-1, "")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="versions", daemon=True)

    def start(self) -> None:
        """Take up the pointer as it is, then follow it beside the requests."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """End; this worker is no longer waited for."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        self._folder.leave(self._worker)

    def look(self) -> None:
        """Bring the worker to what the pointer says now, and say how that went."""
        problem = ""
        try:
            pointer = self._folder.pointer()
            if pointer is not None and (pointer.seq != self._seq or self._refused):
                problem = self._take_up(pointer)
        except (InputError, OSError) as error:
            problem = str(error)
        if (self._seq, problem) != self._said:
            if problem:
                _LOG.error("the versions cannot be followed: %s", problem)
            try:
                self._folder.take_up(self._worker, self._seq, problem or None)
                self._said = (self._seq, problem)
            except InputError as error:  # a full disk must not stop the line
                _LOG.error("%s", error)

    def keep_warm(self) -> None:
        """Load the versions that are to be warm, and let others go. Slow; not on the way of a switch."""
        wanted = self._folder.warm()
        for name in wanted:
            if self._stop.is_set():
                return
            self._load(name)
        for name in set(self._models.warm()) - set(wanted):
            self._models.drop(name)

    def _take_up(self, pointer: Pointer) -> str:
        champion = self._load(pointer.champion)
        if champion is None:
            return f"{pointer.champion}: {self._refused[pointer.champion]}"
        canary, problem = None, ""
        if pointer.canary is not None:
            canary = self._load(pointer.canary.version)
            if canary is None:
                # production decides all wafers: the canary's share has no version
                problem = f"{pointer.canary.version}: {self._refused[pointer.canary.version]}"
        share, rollout = (
            (pointer.canary.share, pointer.canary.rollout) if pointer.canary and canary else (0.0, None)
        )
        self._models.serve(Serving(champion, canary, share, rollout, pointer.seq))
        if not problem:
            self._seq = pointer.seq
        return problem

    def _load(self, name: str) -> Version | None:
        """A loaded version; None, with the reason kept, if it cannot be."""
        warm = self._models.warm().get(name)
        if warm is not None:
            return warm
        if name in self._refused:  # the bundle is sealed: trying again gives the same
            return None
        path = self._folder.bundle(name)
        problem = try_bundle(path, self._folder.public_key)
        if problem is None:
            try:
                version = load_version(path, name, threads=self._threads, public_key=self._folder.public_key)
            except InputError as error:
                problem = str(error)
            else:
                self._models.add(version)
                return version
        self._refused[name] = problem
        return None

    def _run(self) -> None:
        warmed = -1
        while not self._stop.wait(self._every):
            self.look()
            if self._seq != warmed:
                warmed = self._seq
                try:
                    self.keep_warm()
                except (InputError, OSError) as error:
                    _LOG.error("versions cannot be kept warm: %s", error)
