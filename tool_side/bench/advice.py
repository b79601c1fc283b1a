"""Which thread setting is best for this computer, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WORTH_A_CORE = 0.10
"""Share of the time that further threads must save to be worth keeping cores from other programs."""


@dataclass(frozen=True)
class Advice:
    """Set `--threads` (or `Inspector(threads=...)`) to this number, for this reason."""

    threads: int
    reason: str


def advise(milliseconds: Mapping[int, float]) -> Advice:
    """The fewest threads whose mean time an image is within 10 % of the best.

    Args:
        milliseconds: Mean time of an image on the route, for each thread setting; at least one.
    """
    best = min(milliseconds.values())
    threads = min(count for count, mean in milliseconds.items() if mean <= (1 + WORTH_A_CORE) * best)
    measured = ", ".join(f"{mean:.2f} ms with {count}" for count, mean in sorted(milliseconds.items()))
    base = f"mean time of an image: {measured}"
    if len(milliseconds) == 1:
        return Advice(threads, f"{base}; no other setting was measured")
    if threads == max(milliseconds):
        return Advice(threads, f"{base}; fewer would cost more than {WORTH_A_CORE:.0%}")
    return Advice(
        threads, f"{base}; more would save less than {WORTH_A_CORE:.0%}, so leave the cores to others"
    )
