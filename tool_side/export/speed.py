"""Which of two graphs is faster here: both run in turn on the same images, so that a disturbance meets both."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import onnxruntime

from tool_side.runtime.session import session_options
from wafer_data.imaging.planes import alone


@dataclass(frozen=True)
class SpeedRatio:
    """Two graphs at batch 1 on one thread. before_ms, after_ms: median wall times of a run.

    Attributes:
        ratio: How many times the second is as fast, the median over the turns of their processor times, which
            other programs on the computer disturb less than wall times.
    """

    before_ms: float
    after_ms: float
    ratio: float


def in_turn(before: bytes, after: bytes, images: np.ndarray, runs: int = 300) -> SpeedRatio:
    """Run two scoring graphs alternately, `runs` times each after a warm-up; images: (n, S, S) float32."""
    sessions = [
        onnxruntime.InferenceSession(graph, session_options(1), providers=["CPUExecutionProvider"])
        for graph in (before, after)
    ]
    wall, processor = np.empty((runs, 2)), np.empty((runs, 2))
    warm_up = max(5, runs // 10)
    for turn in range(-warm_up, runs):
        feed = {"image": alone(images[turn % len(images)])}
        # First the one, then the other: whichever comes second finds the image in the cache.
        for which in (0, 1) if turn % 2 else (1, 0):
            started, used = time.perf_counter(), time.thread_time()
            sessions[which].run(None, feed)
            if turn >= 0:
                processor[turn, which] = time.thread_time() - used
                wall[turn, which] = time.perf_counter() - started
    before_ms, after_ms = 1e3 * np.median(wall, axis=0)
    return SpeedRatio(float(before_ms), float(after_ms), float(np.median(processor[:, 0] / processor[:, 1])))
