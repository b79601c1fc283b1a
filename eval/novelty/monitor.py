"""A monitor of the flagged rate: a CUSUM over blocks of images, with a stated number of false alarms a month.

E. S. Page, "Continuous inspection schemes", Biometrika 1954: S <- max(0, S + log likelihood ratio of the block), and
an alarm when S exceeds h. Its mean time between false alarms comes from a Markov chain over cells of S (D. Brook and
D. A. Evans, "An approach to the probability distribution of CUSUM run length", Biometrika 1972), which sets h.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

_CELLS = 200
"""Cells of the Markov chain; twice as many change h by less than a percent."""


@dataclass(frozen=True)
class Monitor:
    """Counts flagged images in blocks.

    block: images a block. base: flagged rate as it should be. shifted: the flagged rate that it is tuned to notice.
    limit: h, the alarm threshold of S.
    """

    block: int
    base: float
    shifted: float
    limit: float

    def increments(self, flagged: np.ndarray) -> np.ndarray:
        """Log likelihood ratio of blocks with so many flagged images."""
        return _increments(flagged, self.block, self.base, self.shifted)


def design_monitor(
    base: float, rise: float, block: int, images_per_month: float, false_alarms_per_month: float
) -> Monitor:
    """A monitor tuned to a relative `rise` of the flagged rate `base`, with that many false alarms a month on average.

    base in (0, 1), rise > 0 with base (1 + rise) < 1.
    """
    shifted = base * (1 + rise)
    if not (0 < base < 1 and rise > 0 and shifted < 1):
        raise ValueError(f"a flagged rate of {base} cannot rise by {rise:.0%}")
    blocks_between = images_per_month / false_alarms_per_month / block
    # In units of one block's chance variation: the statistic of a tiny rise is tiny.
    counts, chances = _likely_counts(block, base)
    steps = _increments(counts, block, base, shifted)
    low, high = 0.0, float(np.sqrt(chances @ steps**2))
    while run_length(Monitor(block, base, shifted, high), base) < blocks_between:
        low, high = high, 2 * high
    for _ in range(30):
        middle = (low + high) / 2
        if run_length(Monitor(block, base, shifted, middle), base) < blocks_between:
            low = middle
        else:
            high = middle
    return Monitor(block, base, shifted, high)


def run_length(monitor: Monitor, rate: float) -> float:
    """Mean number of blocks until an alarm, from S = 0, while images are flagged at `rate`."""
    if monitor.limit <= 0:
        return 1.0
    width = monitor.limit / _CELLS
    middles = (np.arange(_CELLS) + 0.5) * width
    middles[0] = 0.0  # the first cell holds the many blocks that end at 0
    counts, chances = _likely_counts(monitor.block, rate)
    below = np.r_[0.0, np.cumsum(chances)]  # P(count < counts[i]), and 1 at the end
    nothing, one = monitor.increments(np.array([0.0, 1.0]))
    # S ends below an edge when the block counts fewer flagged images than this; the first cell takes all below 0.
    edges = np.arange(1, _CELLS + 1) * width
    fewer = np.ceil((edges - middles[:, None] - nothing) / (one - nothing)) - counts[0]
    moves = np.diff(below[np.clip(fewer, 0, len(counts)).astype(int)], axis=1, prepend=0.0)
    try:
        length = float(np.linalg.solve(np.eye(_CELLS) - moves, np.ones(_CELLS))[0])
    except np.linalg.LinAlgError:  # no way out that a float could tell from none
        return math.inf
    return length if length > 0 and math.isfinite(length) else math.inf


def simulate_alarm(
    monitor: Monitor, rate: float, horizon: int, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Images until the alarm, while images are flagged at `rate` (M,); inf beyond `horizon` blocks.

    The monitor starts from S = 0, a little slower than one that has been running. Memory: M numbers.
    """
    sums = np.zeros(draws)
    ended = np.full(draws, np.inf)
    running = np.arange(draws)
    for block in range(1, horizon + 1):
        flagged = rng.binomial(monitor.block, rate, len(running))
        sums[running] = np.maximum(sums[running] + monitor.increments(flagged), 0.0)
        out = sums[running] >= monitor.limit
        ended[running[out]] = block * monitor.block
        running = running[~out]
        if not len(running):
            break
    return ended


def _increments(flagged: np.ndarray, block: int, base: float, shifted: float) -> np.ndarray:
    return flagged * math.log(shifted / base) + (block - flagged) * math.log((1 - shifted) / (1 - base))


def _likely_counts(block: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts of flagged images in a block and their chances; what is rarer than 1e-12 is left out."""
    low, high = (int(value) for value in binom.ppf([1e-12, 1 - 1e-12], block, rate))
    counts = np.arange(max(low, 0), high + 1)
    chances = binom.pmf(counts, block, rate)
    return counts, chances / chances.sum()
