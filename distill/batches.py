"""Whether every process and micro-batch has an image in every step."""

from __future__ import annotations

from wafer_data.errors import InputError


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
