"""What a KLARF file says, whatever its version: wafers with their defects, lengths in micrometres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ImageEntry:
    """One image of a defect.

    Attributes:
        file: the file's name as the KLARF writes it; None where it names none.
        number: the image's number in the file (a page of a multi-page TIFF counts from 1); None where a list of 1.8
            gives none.
        kind: what is left of the entry, as text (1.2: the image type; 1.8: format and name).
    """

    file: str | None
    number: int | None = None
    kind: str = ""


@dataclass(frozen=True)
class Defect:
    """One row of a defect list.

    Attributes:
        id: DEFECTID, unique within its wafer only by convention.
        x_rel, y_rel: position from the die's lower left corner, micrometres; None where the list has no such column.
        x_index, y_index: column and row of the die, may be negative; None likewise.
        x_size, y_size, d_size: micrometres. area: square micrometres.
        class_number, rough_bin, fine_bin, review, test: as they stand in the list.
        images: the images that the list names for it.
        values: every cell by the column's name, as text; image lists excepted.
    """

    id: int
    x_rel: float | None = None
    y_rel: float | None = None
    x_index: int | None = None
    y_index: int | None = None
    x_size: float | None = None
    y_size: float | None = None
    d_size: float | None = None
    area: float | None = None
    class_number: int | None = None
    rough_bin: int | None = None
    fine_bin: int | None = None
    review: int | None = None
    test: int | None = None
    images: tuple[ImageEntry, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass
class WaferResult:
    """One wafer of a file.

    Attributes:
        lot, wafer, slot, device, setup, step: names as written; None where absent. station: the inspection
            station's names.
        timestamp: ResultTimestamp as written.
        diameter: micrometres; None where SampleSize does not say.
        die_pitch, die_origin, center: (x, y) in micrometres. `center` is SampleCenterLocation, the wafer's
            centre as seen from the lower left corner of die (0, 0).
        mark, mark_location: NOTCH or FLAT, and where it points, as written.
        mirrored: CoordinatesMirrored.
        plan: dies of the sample plan, over all tests, in order, each once.
        tests: areas inspected by test number, square micrometres.
        classes: names of class numbers.
        columns: columns of the (last) defect list. defects: in the file's order.
        listed: whether the file has a defect list of this wafer, be it an empty one.
    """

    lot: str | None = None
    wafer: str | None = None
    slot: str | None = None
    device: str | None = None
    setup: str | None = None
    step: str | None = None
    station: tuple[str, ...] = ()
    timestamp: str | None = None
    diameter: float | None = None
    die_pitch: tuple[float, float] | None = None
    die_origin: tuple[float, float] | None = None
    center: tuple[float, float] | None = None
    mark: str | None = None
    mark_location: str | None = None
    mirrored: bool = False
    plan: tuple[tuple[int, int], ...] = ()
    tests: Mapping[int, float] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    defects: list[Defect] = field(default_factory=list)
    listed: bool = field(default=False, compare=False)

    def position(self, defect: Defect) -> tuple[float, float] | None:
        """Where a defect lies on the wafer, micrometres from its centre (x to the right, y up); None if unknown.

        The die's lower left corner is at index x pitch, the defect XREL, YREL from there, and the centre of the wafer
        at SampleCenterLocation, all seen from die (0, 0). Mirrored lists are mirrored back.
        """
        if None in (defect.x_rel, defect.y_rel, defect.x_index, defect.y_index):
            return None
        if self.die_pitch is None or self.center is None:
            return None
        origin = self.die_origin or (0.0, 0.0)
        x = defect.x_index * self.die_pitch[0] + defect.x_rel + origin[0] - self.center[0]  # type: ignore[operator]
        y = defect.y_index * self.die_pitch[1] + defect.y_rel + origin[1] - self.center[1]  # type: ignore[operator]
        return (-x if self.mirrored else x), y

    def die_center(self, x_index: int, y_index: int) -> tuple[float, float] | None:
        """The centre of a die on the wafer, as `position`."""
        if self.die_pitch is None:
            return None
        middle = Defect(0, self.die_pitch[0] / 2, self.die_pitch[1] / 2, x_index, y_index)
        return self.position(middle)


@dataclass(frozen=True)
class Place:
    """Where a defect's cells stand in the text, for `fill`.

    Attributes:
        cells: (start, end) of each column, in the order of the list's columns.
        spec: index into `Layout.specs` of the column names that this row follows.
    """

    cells: tuple[tuple[int, int], ...]
    spec: int


@dataclass
class Spec:
    """The column names of a defect list, and where they stand.

    Attributes:
        count: (start, end) of their number.
    """

    columns: tuple[str, ...]
    names: tuple[tuple[int, int], ...]
    count: tuple[int, int]


@dataclass
class ClassTable:
    """A table of class names.

    Attributes:
        count: (start, end) of its length.
        end: Where a new row goes.
    """

    count: tuple[int, int]
    end: int
    numbers: set[int]
    rows: int
    columns: int = 2


@dataclass
class Layout:
    """Places in the text that `fill` may change."""

    specs: list[Spec] = field(default_factory=list)
    places: list[list[Place]] = field(default_factory=list)
    tables: list[ClassTable] = field(default_factory=list)


@dataclass
class KlarfFile:
    """A KLARF file.

    Attributes:
        version: "1.1", "1.2" or "1.8". source: how messages call it. text, encoding: its content; encoding it
            again gives the file's bytes.
        timestamp: FileTimestamp as written.
        wafers: in the file's order.
        complete: whether it ends with EndOfFile; without it the file was cut off, or is still being written.
        notes: what was odd and how it was read, each with its line.
        other: records that are kept but not interpreted, name -> how often.
        decimal: the sign that divides decimals, "." or ",".
    """

    version: str
    source: str
    text: str
    encoding: str
    timestamp: str | None = None
    wafers: list[WaferResult] = field(default_factory=list)
    complete: bool = False
    notes: list[str] = field(default_factory=list)
    other: dict[str, int] = field(default_factory=dict)
    decimal: str = "."
    layout: Layout = field(default_factory=Layout, repr=False)

    @property
    def defects(self) -> int:
        """How many defects all wafers have."""
        return sum(len(wafer.defects) for wafer in self.wafers)
