"""Start-up time and memory of a program that inspects images, measured in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wafer_data.errors import InputError
from wafer_data.own_code import child_command, child_environment

STARTS = 3
_PATIENCE_S = 300


@dataclass(frozen=True)
class StartUp:
    """Seconds from starting the program to its first decision, and its parts: the median of several starts.

    Attributes:
        interpreter: Until the program's first line.
        imports, loading: Of the packages, of the bundle (sha256 of every file included).
        deciding: The first image.
        peak_bytes: Most memory held by a process that inspected `images` images, highest of the starts; None
            where the system does not say.
    """

    seconds: float
    interpreter: float
    imports: float
    loading: float
    deciding: float
    images: int
    peak_bytes: int | None


def measure_start_up(
    bundle: Path, images: Sequence[Path], *, threads: int = 1, starts: int = STARTS
) -> StartUp:
    """Start a fresh process `starts` times on the files `images`. Files are already in the system's cache.

    Raises:
        InputError: When a process fails, with what it said.
    """
    found = sorted((_start(bundle, images, threads) for _ in range(starts)), key=lambda one: one.seconds)
    peaks = [one.peak_bytes for one in found if one.peak_bytes is not None]
    middle = found[len(found) // 2]
    return StartUp(**{**vars(middle), "peak_bytes": max(peaks, default=None)})


def _start(bundle: Path, images: Sequence[Path], threads: int) -> StartUp:
    started = time.time()
    process = subprocess.Popen(
        child_command("tool_side.bench.start_up", str(bundle), str(threads)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(),
        text=True,
    )
    said, errors = process.communicate(json.dumps([str(path) for path in images]), timeout=_PATIENCE_S)
    if process.returncode != 0:
        last = errors.strip().splitlines()[-1:] or [f"status {process.returncode}"]
        raise InputError(f"a fresh process on this bundle failed: {last[0]}")
    times = json.loads(said)
    peak = times.pop("peak_bytes")
    return StartUp(
        seconds=times["decided"] - started,
        interpreter=times["begun"] - started,
        imports=times["imported"] - times["begun"],
        loading=times["loaded"] - times["imported"],
        deciding=times["decided"] - times["loaded"],
        images=len(images),
        peak_bytes=peak,
    )


def _child() -> None:
    """The fresh process: arguments BUNDLE THREADS, image paths as JSON on standard input, times on its output."""
    begun = time.time()
    paths = json.load(sys.stdin)
    from tool_side.bench.process_memory import peak_bytes
    from tool_side.runtime.inspector import Inspector

    imported = time.time()
    inspector = Inspector(sys.argv[1], threads=int(sys.argv[2]))
    loaded = time.time()
    inspector.inspect(paths[0])
    decided = time.time()
    for path in paths[1:]:
        inspector.inspect(path)
    times = {"begun": begun, "imported": imported, "loaded": loaded, "decided": decided}
    print(json.dumps({**times, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    _child()
