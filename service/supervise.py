"""Several workers on one machine: start them, and start again what dies.

Each worker is a process with a port and a journal of its own, and none knows the others' state; uvicorn's own
supervisor kills workers that are only busy, and stops them all when one cannot start.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

from wafer_data.own_code import child_environment

_LOG = logging.getLogger(__name__)
_SOONEST_S, _LATEST_S = 0.2, 10.0
# A worker that lived so long was well; its next start need not wait.
_WELL_AFTER_S = 30.0
_STOP_S = 60.0
_REFUSED = 2  # exit status of wrong input: starting again would not help


def run_workers(count: int, port: int, command: Sequence[str]) -> int:
    """Run workers until SIGTERM or Ctrl-C.

    Args:
        count: How many.
        port: Of the first; the others take those after it.
        command: Of one worker, without its port.

    Returns:
        The exit status: 0 after a stop that was asked for, 2 if a worker refuses its input.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    refused = threading.Event()
    threads = [
        threading.Thread(target=_keep, args=([*command, "--port", str(port + place)], stop, refused))
        for place in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _REFUSED if refused.is_set() else 0


def stop_process(process: subprocess.Popen[bytes], within_s: float) -> None:
    """Ask a process to stop, and kill it if it has not within that time; it has ended when this returns."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _keep(command: Sequence[str], stop: threading.Event, refused: threading.Event) -> None:
    """Keep one worker running."""
    pause = _SOONEST_S
    while not stop.is_set():
        started = time.monotonic()
        worker = subprocess.Popen(
            command,
            env=child_environment(),
            start_new_session=True,  # Ctrl-C is for us to pass on
        )
        while worker.poll() is None and not stop.wait(0.1):
            pass
        if stop.is_set():
            stop_process(worker, _STOP_S)
            return
        if worker.returncode == _REFUSED:
            refused.set()
            stop.set()
            return
        pause = _SOONEST_S if time.monotonic() - started > _WELL_AFTER_S else min(2 * pause, _LATEST_S)
        _LOG.warning("the worker at port %s ended with status %d; it starts again in %.1f s",
                     command[-1], worker.returncode, pause)  # fmt: skip
        stop.wait(pause)
