"""A child process that ends with its parent, however that happens: killed, a parent cannot stop it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def ending_with_us(number: signal.Signals) -> Callable[[], None] | None:
    """What `subprocess.Popen` takes as `preexec_fn`, so that the child gets signal `number` when this process is gone.

    Counts from the thread that starts it (prctl(2)): that one has to live as long as the child. None where the system
    has no such call; there a child goes on alone.
    """
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before that
            os._exit(1)

    return tie
