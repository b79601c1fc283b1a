"""Which images make up each step, and who looks at them: pure functions of the seed, the epoch and the sizes."""

from __future__ import annotations

import numpy as np

from wafer_data.errors import InputError

# Keeps the draw of the held-out images apart from the draws of the epochs' orders, which use (seed, epoch).
_HELD_OUT_DRAW = 11


def epoch_batches(rows: np.ndarray, batch_size: int, draw: tuple[int, ...]) -> list[np.ndarray]:
    """`rows` in a random order, cut into batches: each row once, no batch larger than `batch_size`.

    The batches are as equal as can be instead of full ones and a rest: a last batch of two images would weigh as
    much in a step as a full one, and its batch statistics would be noise.

    Args:
        rows: (N,) what to go through, N >= 1.
        draw: seed of the order, such as (seed, epoch).
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
    # sorted: neighbours on the disk are read together
    return [np.sort(share[part::accumulation]) for part in range(accumulation)]


def check_split(stage: str, images: int, batch_size: int, accumulation: int, processes: int) -> None:
    """Raise InputError if some process or micro-batch would be without an image in some step."""
    smallest = images // -(-images // batch_size)
    if smallest < accumulation * processes:
        raise InputError(
            f"distill.{stage}.batch_size={batch_size} makes batches of {smallest} of the {images} images of the "
            f"training pool, too few for {processes} processes with {accumulation} micro-batches each; raise "
            f"batch_size to {2 * accumulation * processes}, lower gradient_accumulation, start fewer processes or "
            "raise distill.pool.generated"
        )


def hold_out(is_normal: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the pool to learn from and rows to judge by, both ascending; a pure function of the arguments.

    The same share of normal images and of synthetic anomalies is held out, at least one of each kind that has two.
    Copies of one original may fall on both sides, so the held-out loss is a little too good; it is compared with
    itself between epochs, where that cancels.

    Args:
        is_normal: (M,) bool, one an image of the pool.
        share: of the images to hold out, in [0, 0.5); 0 holds out none.
    """
    rng = np.random.default_rng((seed, _HELD_OUT_DRAW, 0))
    held = np.zeros(len(is_normal), bool)
    for kind in (True, False):
        rows = np.flatnonzero(is_normal == kind)
        count = max(1, round(share * len(rows))) if share and len(rows) > 1 else 0
        held[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
