"""What is timed: the whole route from file to decision, and each graph alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np
import onnxruntime

from tool_side.bench.images import BenchImages, on_route
from tool_side.bundle.load import Bundle
from tool_side.runtime.inspection import STEPS
from tool_side.runtime.inspector import Inspector
from tool_side.runtime.session import STUDENT_OUTPUTS, session_options


class Route:
    """The inspector on files, a stated share of them escalated, spread evenly and whatever they show."""

    def __init__(self, inspector: Inspector, images: BenchImages, share: float) -> None:
        self._paths, self._share = images.paths, share
        self._low, self._full = on_route(inspector, escalate=False), on_route(inspector, escalate=True)

    def inspect(self, number: int) -> None:
        """Judge file `number` (counted round and round)."""
        path = self._paths[number % len(self._paths)]
        (self._full if self.is_escalated(number) else self._low).inspect(path)

    def is_escalated(self, number: int) -> bool:
        """Whether image `number` of the stream goes to the full student."""
        return int((number + 1) * self._share) > int(number * self._share)

    def batches(self, batch: int) -> Callable[[int], None]:
        """A call that judges `batch` files that arrived together, one after the other as the runtime does."""

        def call(run: int) -> None:
            for number in range(run * batch, (run + 1) * batch):
                self.inspect(number)

        return call

    def typical_milliseconds(self, seconds: float) -> float:
        """Mean time of an image at the stated share, from the median of each kind.

        A computer that does other things now and then stretches some calls a hundredfold; medians pass that by,
        and an overall median would never see the escalated images.
        """
        medians = []
        for inspector in (self._low, self._full):
            times: list[float] = []
            end = time.perf_counter() + seconds / 2
            while len(times) < 10 or time.perf_counter() < end:
                path, before = self._paths[len(times) % len(self._paths)], time.perf_counter()
                inspector.inspect(path)
                times.append(time.perf_counter() - before)
            medians.append(float(np.median(times)))
        return 1e3 * ((1 - self._share) * medians[0] + self._share * medians[1])

    def step_milliseconds(self, runs: int = 50) -> dict[str, float]:
        """Median time of each step, where it runs."""
        found = [self._full.inspect(self._paths[run % len(self._paths)]).seconds for run in range(runs)]
        steps = [step for step in STEPS if step not in ("reconstruction", "total")]
        return {step: 1e3 * float(np.median([seconds[step] for seconds in found])) for step in steps}

    def images_per_second(self, callers: int, seconds: float) -> float:
        """Throughput of `callers` threads that share the inspector."""
        numbers: Iterator[int] = count()
        lock, end = threading.Lock(), time.perf_counter() + seconds

        def work(_: int) -> int:
            done = 0
            while time.perf_counter() < end:
                with lock:
                    number = next(numbers)
                self.inspect(number)
                done += 1
            return done

        started = time.perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            done = sum(pool.map(work, range(callers)))
        return done / (time.perf_counter() - started)


def graph_batches(
    bundle: Bundle, name: str, images: BenchImages, batch: int, threads: int
) -> Callable[[int], object]:
    """A call that runs the scoring graph of model `name` on `batch` images at once."""
    session = onnxruntime.InferenceSession(
        bundle.contents[bundle.models[name].file],
        session_options(threads),
        providers=["CPUExecutionProvider"],
    )
    count_, *shape = images.inputs.shape
    ring = np.resize(images.inputs, (max(count_, 2 * batch), *shape))
    places = len(ring) - batch + 1

    def call(run: int) -> object:
        start = 7 * run % places  # other images each time, so that none stays in the cache
        return session.run(STUDENT_OUTPUTS, {"image": ring[start : start + batch]})

    return call
