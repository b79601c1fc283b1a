"""What is known of one defect: what it is, where it lies, how large, which bin.

Classification, bins, the service and KLARF hand it to each other. Standard library only: this module also runs on the
inspection tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

UNKNOWN = "unknown"
"""The type of a defect that nobody classified, or that is of no known type."""


@dataclass(frozen=True, kw_only=True)
class DefectFinding:
    """One defect of an image. Everything but its box may be missing; who knows more replaces it with `with_`.

    Attributes:
        box: (left, top, right, bottom) in pixels of the image, right and bottom exclusive.
        center: (x, y) in pixels, x to the right, y down.
        area: square pixels. length, width: axes of the ellipse of the same second moments, pixels.
        angle: of its long axis, degrees counter-clockwise from the x axis, in (-90, 90].
        peak: highest value of the heat map on it, in units of the model's `map_reference` (1 is the 99.9 % quantile of
            normal wafers). faint: its cell did not reach 1; the box is that of the cell alone.
        area_um2, length_um, width_um: the same in micrometres; None where the pixel size is not known.
        die: (column, row) of the die. on_die: (x, y) on it, micrometres from its lower left corner, y up.
        on_wafer: (x, y), micrometres from the wafer's centre, y up. None where the stage map is not known.
        type: the most probable type; "unknown" without a classifier.
        probability: of that type, calibrated; None without a classifier.
        probabilities: of every type that has one, by name.
        set: types that cannot be excluded at the classifier's coverage, the most probable first.
        typicality: p-value in (0, 1] of it being of a known type, small where it resembles none; None without a
            classifier.
        bin: name of its bin; None without rules. killer: whether that bin's defects kill a die.
    """

    box: tuple[float, float, float, float]
    center: tuple[float, float]
    area: float
    length: float
    width: float
    angle: float = 0.0
    peak: float | None = None
    faint: bool = False
    area_um2: float | None = None
    length_um: float | None = None
    width_um: float | None = None
    die: tuple[int, int] | None = None
    on_die: tuple[float, float] | None = None
    on_wafer: tuple[float, float] | None = None
    type: str = UNKNOWN
    probability: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    set: tuple[str, ...] = ()
    typicality: float | None = None
    bin: str | None = None
    killer: bool | None = None

    def with_(self, **changes: Any) -> Self:
        """The same defect with more known about it."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: type, probability, set, bin and box always, the rest where it is known."""
        first = {
            "type": self.type,
            "probability": self.probability,
            "set": list(self.set),
            "bin": self.bin,
            "box": list(self.box),
        }
        rest = {name: value for name, value in vars(self).items() if name not in first}
        known = {name: value for name, value in rest.items() if value is not None and value != {}}
        return first | {
            name: list(value)
            if isinstance(value, tuple)
            else dict(value)
            if isinstance(value, Mapping)
            else value
            for name, value in known.items()
        }
