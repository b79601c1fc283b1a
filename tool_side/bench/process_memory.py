"""How much memory this process takes, from the operating system's own books."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int | None:
    """Most memory this process ever held at once; None where the system does not say."""
    found = _from_status("VmHWM")
    if found is not None:
        return found
    try:
        import resource
    except ModuleNotFoundError:
        return None
    # On Linux this would also count what the parent process held when it started this one.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def current_bytes() -> int | None:
    """Memory this process holds now; None where the system does not say."""
    return _from_status("VmRSS")


def _from_status(name: str) -> int | None:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(values[0]) if values else None
