"""Which of a stream's first wafers are its reference: enough wafers, and enough lots.

Wafers of one lot are alike. Sixty wafers of a station that gets whole lots are two or three lots: they say how wafers
differ and nothing of how lots do.
"""

from __future__ import annotations

import numpy as np

REFERENCE_WAFERS, REFERENCE_LOTS = 60, 30
"""A stream's first wafers under a version are its reference: so many, or as many as hold so many lots if that is more.
A wafer without a lot is a lot of its own."""
LEAST_UNITS = 8
"""Lots in a reference without which nothing is compared."""
LARGEST_LOT = 25
"""Wafers of a full carrier. Where so many for each of `LEAST_UNITS` lots hold fewer lots, what is sent as the lot is a
name that hardly ever changes, and wafers are the unit: else such a stream would not be looked at for months."""
MOST_REFERENCE_WAFERS = REFERENCE_LOTS * LARGEST_LOT
"""However few lots they hold: what a look must hold in memory."""


def lots_begun(stream: np.ndarray, lot: np.ndarray) -> np.ndarray:
    """How many lots of its stream have begun by each wafer, itself among them, (N,).

    Args:
        stream: (N,) index of each wafer's stream, those of a stream beside each other and in the order of time.
        lot: (N,) number of its lot; -1: it has none.
    """
    if not len(stream):
        return np.zeros(0, int)
    begins = lot < 0
    _, first = np.unique(stream * (int(lot.max()) + 2) + lot, return_index=True)
    begins[first] = True
    begun = np.cumsum(begins)
    starts = np.flatnonzero(np.diff(stream, prepend=-1))
    before = np.zeros(int(stream[-1]) + 1, int)
    before[stream[starts]] = begun[starts] - 1
    return np.asarray(begun - before[stream])


def without_endless_lots(stream: np.ndarray, place: np.ndarray, lot: np.ndarray) -> np.ndarray:
    """The lots, (N,), but -1 on streams where they are no lots (`LARGEST_LOT`).

    Args:
        stream, lot: See `lots_begun`.
        place: (N,) of each wafer in its stream, from 0.
    """
    endless = (place == LEAST_UNITS * LARGEST_LOT - 1) & (lots_begun(stream, lot) < LEAST_UNITS)
    return np.where(np.isin(stream, stream[endless]), -1, lot)


def longest_reference(stream: np.ndarray, begun: np.ndarray, streams: int) -> np.ndarray:
    """How many of its first wafers are a stream's reference once it has them, (streams,).

    Args:
        stream: See `lots_begun`.
        begun: Its result.
        streams: How many.
    """
    of_lots = np.bincount(stream[begun <= REFERENCE_LOTS], minlength=streams)
    return np.clip(of_lots, REFERENCE_WAFERS, MOST_REFERENCE_WAFERS)
