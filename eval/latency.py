"""Wall-clock latency of one call on one thread, as the tool computer would see it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from wafer_data.errors import InputError


@dataclass(frozen=True)
class Latency:
    """Milliseconds a call: mean, median and 99th percentile over `runs` calls."""

    mean: float
    p50: float
    p99: float
    runs: int

    @classmethod
    def of(cls, milliseconds: Sequence[float] | np.ndarray) -> "Latency":
        """Summarise measured times. Raises `InputError` if there are none."""
        times = np.asarray(milliseconds, dtype=np.float64)
        if times.size == 0:
            raise InputError("no latency was measured")
        p50, p99 = np.quantile(times, [0.5, 0.99])
        return cls(float(times.mean()), float(p50), float(p99), int(times.size))


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch, BLAS and OpenMP to one thread inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


def measure_latency(
    call: Callable[[Any], Any], inputs: Sequence[Any], warmup: int = 10, runs: int = 200
) -> Latency:
    """Time `call(x)` for `runs` calls over `inputs` in turn, after `warmup` untimed calls, on one thread.

    Inputs should be different real images: a single repeated one stays in the cache and flatters the result.
    """
    if len(inputs) == 0 or runs < 1:
        raise InputError("measuring a latency needs at least one input and one run")
    times = np.empty(runs)
    with one_thread():
        for i in range(warmup):
            call(inputs[i % len(inputs)])
        for i in range(runs):
            start = time.perf_counter()
            call(inputs[i % len(inputs)])
            times[i] = time.perf_counter() - start
    return Latency.of(times * 1e3)
