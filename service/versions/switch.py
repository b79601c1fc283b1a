"""Switching as a whole: append a line, wait until every live worker follows it, step back if one cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.versions.folder import Pointer, VersionFolder
from tool_side.agent.trial import try_bundle
from wafer_data.errors import InputError

SECONDS = 30.0
"""The case study's limit of a rollback."""


@dataclass(frozen=True)
class Switched:
    """A switch that every live worker follows.

    Attributes:
        seconds: From the line in the pointer to the last worker.
    """

    pointer: Pointer
    seconds: float


def switch(
    folder: VersionFolder,
    change: Callable[[], Pointer],
    *,
    by: str,
    step_back: bool = True,
) -> Switched:
    """Change the pointer and see it through.

    Args:
        folder: The versions.
        change: Appends the line.
        by: Who switches.
        step_back: Whether a version that a worker cannot load is taken back at once.

    Raises:
        InputError: What `change` raises; or a worker does not follow, with what was done about it.
    """
    before = folder.pointer()
    pointer = change()
    took, waiting = folder.wait(pointer.seq, SECONDS)
    if not waiting:
        return Switched(pointer, took)
    said = "; ".join(f"{worker}: {reason}" for worker, reason in waiting.items())
    if step_back and before is not None:
        back = folder.point(before.champion, before.canary, by=by, reason=f"not every worker follows: {said}")
        folder.wait(back.seq, SECONDS)
        raise InputError(f"not every worker follows {pointer.champion} ({said}); back to {before.champion}")
    raise InputError(
        f"after {took:.1f} s not every worker follows {pointer.champion} ({said}): restart those"
    )


def promote(folder: VersionFolder, name: str, *, by: str, reason: str) -> Switched:
    """Let a version decide, on every live worker or on none.

    Raises:
        InputError: It is unknown, archived, failed its gate, does not verify or does not load; or a worker does not
            follow.
    """
    version = folder.get(name)
    problem = try_bundle(folder.bundle(version.name), folder.public_key)
    if problem is not None:
        raise InputError(f"{version.name} cannot be promoted: {problem}")
    return switch(folder, lambda: folder.promote(version.name, by=by, reason=reason), by=by)


def rollback(folder: VersionFolder, *, by: str, reason: str) -> Switched:
    """End the canary, or go back to the version before.

    Raises:
        InputError: There is nothing to go back to, or a worker does not follow in time.
    """
    return switch(folder, lambda: folder.rollback(by=by, reason=reason), by=by, step_back=False)
