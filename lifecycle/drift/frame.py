"""All wafers of a look as arrays, and which of them are held against which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from lifecycle.drift.columns import GAIN, Layout, rows_of
from lifecycle.drift.first_wafers import LEAST_UNITS, longest_reference, lots_begun, without_endless_lots
from lifecycle.drift.units import Moments, Units, moments_of, units_of
from lifecycle.drift.wafer_summary import Stream, WaferSummary

LEAST_REFERENCE, LEAST_RECENT = 24, 2
"""With fewer reference wafers nothing is compared, and a single odd wafer is no drift."""

History = Sequence[tuple[float, WaferSummary]]
"""A stream's wafers with the time of their last image, in its order."""


@dataclass(frozen=True)
class Frame:
    """N wafers of S streams, those of a stream beside each other and in the order of time.

    Attributes:
        streams: (S,) sorted.
        wafers: (N,) themselves.
        stream: (N,) index of each wafer's stream.
        place: (N,) in its stream, from 0.
        at: (N,) time of its last image.
        lot: (N,) number of its lot, the same on every stream; -1: it has none that ends.
        layout: Of the columns.
        rows: (N, C) see `rows_of`.
        images: (N,) of each wafer.
        scores: (N, 3) number, sum and sum of squares of each wafer's scores.
    """

    streams: tuple[Stream, ...]
    wafers: tuple[WaferSummary, ...]
    stream: np.ndarray
    place: np.ndarray
    at: np.ndarray
    lot: np.ndarray
    layout: Layout
    rows: np.ndarray
    images: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, histories: Mapping[Stream, History]) -> Frame:
        """Lay out the wafers of all streams."""
        streams = tuple(sorted(stream for stream, history in histories.items() if history))
        counts = [len(histories[stream]) for stream in streams]
        wafers = tuple(wafer for stream in streams for _, wafer in histories[stream])
        lots: dict[str, int] = {}
        lot = [lots.setdefault(w.lot, len(lots)) if w.lot else -1 for w in wafers]
        numbers = np.array([w.numbers for w in wafers], float).reshape(-1, 8)
        layout = Layout.of(max((len(w.latent) for w in wafers), default=0))
        stream = np.repeat(np.arange(len(streams)), counts)
        place = np.concatenate([np.arange(count) for count in counts]) if counts else np.empty(0, int)
        return cls(
            streams, wafers, stream, place, np.array([at for stream in streams for at, _ in histories[stream]], float),
            without_endless_lots(stream, place, np.array(lot, int)), layout,
            rows_of(wafers, layout, numbers), numbers[:, 4], numbers[:, 5:],
        )  # fmt: skip

    def with_gain(self, weights: np.ndarray) -> Frame:
        """With the column `GAIN`: brightness, contrast and sharpness by their weights, (3,)."""
        place = self.layout.names.index(GAIN)
        rows = self.rows.copy()
        rows[:, place] = rows[:, place - len(weights) : place] @ weights
        return replace(self, rows=rows)

    def sides(self, windows_s: Sequence[float], now: float) -> list[Sides]:
        """The wafers of each window until now against the first ones of their streams.

        Of a young stream the first four fifths are the reference, until it has wafers enough that are older.
        """
        size = len(self.streams)
        most = longest_reference(self.stream, self.begun, size)
        every = np.bincount(self.stream, minlength=size)
        known: dict[bytes, Reference] = {}
        found = []
        for window in windows_s:
            older = np.bincount(self.stream[self.at <= now - window], minlength=size)
            count = np.minimum(most, np.maximum(older, every - np.maximum(LEAST_RECENT, every // 5)))
            count[(count < LEAST_REFERENCE) | (self._lots_in(count) < LEAST_UNITS)] = 0
            recent = (self.place >= count[self.stream]) & (self.at > now - window)
            looked = (count > 0) & (np.bincount(self.stream[recent], minlength=size) >= LEAST_RECENT)
            reference = known.setdefault(count.tobytes(), Reference(self, self.place < count[self.stream]))
            found.append(Sides(looked, reference, np.flatnonzero(recent & looked[self.stream])))
        return found

    def _lots_in(self, count: np.ndarray) -> np.ndarray:
        """How many lots so many first wafers of each stream hold, (S,)."""
        last = np.flatnonzero(self.place == 0) + count - 1
        return np.where(count > 0, self.begun[np.maximum(last, 0)], 0)

    @cached_property
    def begun(self) -> np.ndarray:
        """See `lots_begun`."""
        return lots_begun(self.stream, self.lot)

    @cached_property
    def unit(self) -> np.ndarray:
        """Which unit each wafer belongs to, (N,): its lot, or itself where it has none."""
        alone = np.arange(len(self.wafers)) + len(self.wafers) + 1
        return np.where(self.lot >= 0, self.lot, alone)


@dataclass(eq=False)
class Reference:
    """Wafers from when all was well; windows share one where they are held against the same wafers.

    Attributes:
        frame: All wafers.
        mask: (N,) bool, which of them.
        kept: What is worked out of them once.
    """

    frame: Frame
    mask: np.ndarray
    kept: dict[bytes, Moments] = field(default_factory=dict)

    @cached_property
    def units(self) -> Units:
        """Reference units of the streams."""
        at = np.flatnonzero(self.mask)
        return units_of(self.frame.rows[at], self.frame.stream[at], self.frame.unit[at])

    @cached_property
    def moments(self) -> Moments:
        """What these say of each stream."""
        return moments_of(self.units, len(self.frame.streams))

    @cached_property
    def wafers(self) -> Moments:
        """The same of single wafers."""
        at = np.flatnonzero(self.mask)
        return moments_of(units_of(self.frame.rows[at], self.frame.stream[at], at), len(self.frame.streams))

    @cached_property
    def images(self) -> np.ndarray:
        """Images of a wafer, mean of each stream, (S,); 1 where it has no reference."""
        size, at = len(self.frame.streams), np.flatnonzero(self.mask)
        stream = self.frame.stream[at]
        total = np.bincount(stream, self.frame.images[at], minlength=size)
        return np.maximum(total / np.maximum(np.bincount(stream, minlength=size), 1), 1.0)


@dataclass(frozen=True)
class Sides:
    """What is held against what.

    Attributes:
        looked: (S,) streams that have wafers enough.
        reference: Of these, and perhaps of others.
        recent: (r,) indices of the wafers to be looked at.
    """

    looked: np.ndarray
    reference: Reference
    recent: np.ndarray
