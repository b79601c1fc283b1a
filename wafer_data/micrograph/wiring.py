"""The wiring of layout logic: which nodes of a square grid are joined."""

from dataclasses import dataclass

import numpy as np

_RAIL_EVERY = 7  # tracks from rail to rail
_GOES_ON, _STARTS = (
    0.72,
    0.35,
)  # chances of a lying wire to reach the next node, if there is one already or not
_UPRIGHT, _AT_RAIL = 0.22, 0.08  # chances of an upright wire between two nodes, and between a node and a rail
_PAD = 0.5  # chance that a node without a wire is a pad


@dataclass(frozen=True)
class Wiring:
    """Wires between the nodes of an n x n grid.

    Attributes:
        rails: Bool (n,), rows that are one wide wire.
        lying: Bool (n, n - 1), wires from node c to c + 1 of a row.
        upright: Bool (n - 1, n), wires from row r to r + 1 of a column.
        pads: Bool (n, n), metal without a wire.
    """

    rails: np.ndarray
    lying: np.ndarray
    upright: np.ndarray
    pads: np.ndarray

    @property
    def metal(self) -> np.ndarray:
        """Bool (n, n): nodes with metal on them."""
        return self.pads | _reached(self.lying, self.upright)


def draw_wiring(rng: np.random.Generator, count: int) -> Wiring:
    """Random wiring of count x count nodes: long lying wires, short upright ones, a rail every seventh row."""
    rails = np.arange(count) % _RAIL_EVERY == _RAIL_EVERY // 2
    lying = _lying_wires(rng, count, rails)
    at_rail = (rails[:-1] | rails[1:])[:, None]
    upright = rng.random((count - 1, count)) < np.where(at_rail, _AT_RAIL, _UPRIGHT)
    pads = ~_reached(lying, upright) & (rng.random((count, count)) < _PAD)
    return Wiring(rails, lying, upright, pads)


def runs(wires: np.ndarray) -> list[tuple[int, int]]:
    """First and last node of every straight run in a row (n - 1,) of node-to-node wires."""
    edges = np.diff(np.concatenate([[0], wires.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges > 0).tolist(), np.flatnonzero(edges < 0).tolist(), strict=True))


def _lying_wires(rng: np.random.Generator, count: int, rails: np.ndarray) -> np.ndarray:
    draws = rng.random((count, count - 1))
    wires = np.zeros((count, count - 1), dtype=bool)
    before = np.zeros(count, dtype=bool)
    for column in range(count - 1):
        before = draws[:, column] < np.where(before, _GOES_ON, _STARTS)
        wires[:, column] = before
    wires[rails] = True
    return wires


def _reached(lying: np.ndarray, upright: np.ndarray) -> np.ndarray:
    nodes = np.zeros((len(lying), len(lying)), dtype=bool)
    nodes[:, :-1] |= lying
    nodes[:, 1:] |= lying
    nodes[:-1] |= upright
    nodes[1:] |= upright
    return nodes
