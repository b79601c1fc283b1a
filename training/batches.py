"""Which images make up each step, and who looks at them: pure functions of the seed, the epoch and the sizes."""

from __future__ import annotations

import numpy as np

# Keeps the draw of the held-out images apart from the draws of the epochs' orders, which use (seed, epoch).
_HELD_OUT_DRAW = 11


def epoch_batches(rows: np.ndarray, batch_size: int, draw: tuple[int, ...]) -> list[np.ndarray]:
    """`rows` in a random order, cut into batches: each row once, no batch larger than `batch_size`.

    The batches are as equal as can be instead of full ones and a rest: a last batch of two images would weigh as
    much in a step as a full one, and its batch statistics would be noise.

    Args:
        rows: (N,) what to go through, N >= 1.
        batch_size: Images a batch at most.
        draw: Seed of the order, such as (seed, epoch).
    """
    order = rows[np.random.default_rng(draw).permutation(len(rows))]
    return np.array_split(order, -(-len(order) // batch_size))


def micro_batches(
    batch: np.ndarray, accumulation: int, process: int = 0, processes: int = 1
) -> list[np.ndarray]:
    """What process number `process` of `processes` works through for one step, one array a forward pass.

    The micro-batches of all processes together are the batch, each image once. Two processes and one process with
    twice the micro-batches cut a batch into the same parts.
    """
    share = batch[process::processes]
    return [share[part::accumulation] for part in range(min(accumulation, len(share)))]


def hold_out(kinds: np.ndarray, share: float, seed: int, draw: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to decide by, both ascending; a pure function of the arguments.

    The same share of each kind is held out, at least one of each that has two. Copies of one original may fall on both
    sides, so the held-out loss is a little too good; it is compared with itself between epochs, where that cancels.

    Args:
        kinds: (M,) bool, such as whether each image of the pool is normal.
        share: Of the images to hold out, in [0, 0.5); 0 holds out none.
        seed: Of the run.
        draw: Distinguishes several splits with one seed.
    """
    rng = np.random.default_rng((seed, _HELD_OUT_DRAW, draw))
    held = np.zeros(len(kinds), bool)
    for kind in (True, False):
        rows = np.flatnonzero(kinds == kind)
        count = max(1, round(share * len(rows))) if share and len(rows) > 1 else 0
        held[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
