"""What systemd is told (sd_notify): that the worker is ready, that it stops, and that its event loop still turns.

Elsewhere (no `NOTIFY_SOCKET`) nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket


def tell_supervisor(state: str) -> bool:
    """Send a state such as "READY=1". Returns whether there was somebody to send it to."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    name = "\0" + address[1:] if address.startswith("@") else address  # @: in the abstract name space
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.settimeout(1)
        to.sendto(state.encode(), name)
        return True
    return False


def watchdog_pause() -> float | None:
    """Seconds between signs of life, half of what systemd allows (`WatchdogSec=`); None: it asks for none."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    meant_for = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not asked.isdecimal() or not int(asked) or meant_for != str(os.getpid()):
        return None
    return int(asked) / 2e6


async def signs_of_life() -> None:
    """Give them from the event loop, until cancelled: a loop that hangs gives none, and systemd starts another."""
    pause = watchdog_pause()
    while pause is not None:
        tell_supervisor("WATCHDOG=1")
        await asyncio.sleep(pause)
