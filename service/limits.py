"""How much one client may send: requests a second, the size of a body, and how long it may take to arrive."""

from __future__ import annotations

import asyncio
import math
import time

from starlette.requests import ClientDisconnect, Request

from service.auth.who import Who
from service.problem import Problem

_MOST_CLIENTS = 10_000


class Limits:
    """Token buckets, one a key or person.

    Attributes:
        rate: Tokens a second.
        burst: Tokens at most.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def admit(self, who: Who, cost: float = 1.0) -> None:
        """Take `cost` tokens. Raises Problem (429) if there are not so many."""
        now = time.monotonic()
        left, at = self._buckets.get(who.actor, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        if left < cost:
            raise Problem(
                429,
                f"more than {self._rate:g} requests a second: wait, and send fewer",
                retry_after=max(1, math.ceil((cost - left) / self._rate)),
            )
        if len(self._buckets) >= _MOST_CLIENTS:
            self._buckets.clear()
        self._buckets[who.actor] = (left - cost, now)


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The whole body of a request.

    Raises:
        Problem: 413 for more than `most` bytes, 408 for one that is not here within `seconds`, 400 for one that breaks
            off, 415 for a compressed one.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "send the image's bytes as they are, without Content-Encoding")
    stated = request.headers.get("content-length", "0")
    if not stated.isdecimal():
        raise Problem(400, "Content-Length is not a number")
    if int(stated) > most:
        raise Problem(413, f"the body has {stated} bytes, at most {most} are taken")
    chunks, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise Problem(413, f"the body has more than the {most} bytes that are taken")
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(408, f"the body was not here within {seconds:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "the client went away before the whole image was here") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
