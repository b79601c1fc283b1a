"""How long a call takes: quantiles, throughput, and how many cores it keeps busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_WARM_UP_S = 0.2


@dataclass(frozen=True)
class Timing:
    """Milliseconds a call of `batch` images, over `runs` calls.

    p99 of fewer than 100 calls is close to their maximum.

    Attributes:
        images_per_second: Over all calls together.
        cores: Processor time of the whole process by wall time; 1 is one core kept busy.
    """

    batch: int
    runs: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float
    images_per_second: float
    cores: float


def time_calls(
    call: Callable[[int], object], *, batch: int, seconds: float, least: int = 20, most: int = 5000
) -> Timing:
    """Time call(0), call(1), ... for about `seconds`, but at least `least` and at most `most` calls.

    Calls before that, for up to 0.2 s, are not counted.
    """
    warm = time.perf_counter() + min(_WARM_UP_S, seconds)
    call(0)
    while time.perf_counter() < warm:
        call(0)
    milliseconds: list[float] = []
    processor, started = time.process_time(), time.perf_counter()
    ended = started
    while len(milliseconds) < least or (ended - started < seconds and len(milliseconds) < most):
        before = time.perf_counter()
        call(len(milliseconds))
        ended = time.perf_counter()
        milliseconds.append(1e3 * (ended - before))
    wall, busy = ended - started, time.process_time() - processor
    p50, p95, p99 = (float(value) for value in np.quantile(milliseconds, [0.5, 0.95, 0.99]))
    return Timing(
        batch=batch,
        runs=len(milliseconds),
        mean=float(np.mean(milliseconds)),
        p50=p50,
        p95=p95,
        p99=p99,
        max=max(milliseconds),
        images_per_second=batch * len(milliseconds) / wall,
        cores=busy / wall,
    )
