"""Children end with a parent that was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import signal, subprocess, sys, time
from wafer_data.child_ends import ending_with_us
tied = ending_with_us(signal.SIGTERM) if sys.argv[1] == "tied" else None
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], preexec_fn=tied)
print(child.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        return status.rsplit(")", 1)[1].split()[0] != "Z"  # ended, and nobody asked how
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
@pytest.mark.parametrize(("way", "lives_on"), [("tied", False), ("free", True)])
def test_a_killed_parent_takes_the_children_along_that_are_tied_to_it(way: str, lives_on: bool) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, way], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        deadline = time.monotonic() + (1.0 if lives_on else 20.0)
        while is_alive(child) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert is_alive(child) == lives_on
    finally:
        if lives_on:
            os.kill(child, signal.SIGKILL)
