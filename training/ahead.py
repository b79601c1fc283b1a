"""Made ahead: threads read and copy what the next steps need while a GPU computes the present one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Made = TypeVar("Made")

GPU_THREADS = 4
"""They copy memory, during which the interpreter is free; four keep a GPU busy."""


def ahead(make: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Iterator[Made]:
    """`make` of each item, in order.

    Args:
        make: Called in threads, for several items at once; what it returns must depend on its item alone.
        items: What to make it of.
        threads: At most two items a thread are made ahead, so memory does not grow; 0: none, and no thread.

    Raises:
        Whatever `make` raises, when its turn comes.
    """
    if not threads:
        yield from map(make, items)
        return
    source = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        waiting: deque[Future[Made]] = deque(pool.submit(make, item) for item in islice(source, 2 * threads))
        try:
            while waiting:
                found = waiting.popleft().result()
                waiting.extend(pool.submit(make, item) for item in islice(source, 1))
                yield found
        finally:  # whoever stops reading does not wait for what he will not see
            for future in waiting:
                future.cancel()


def threads_for(device: torch.device) -> int:
    """Threads that make work for a device: none beside a CPU, whose cores compute."""
    return GPU_THREADS if device.type == "cuda" else 0
