"""What an error analysis found: what `errors.json` says and the page shows."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from eval.errors.properties import DefectFigures, HeatFigures
from eval.found_types import FoundTypes
from eval.provenance import Provenance

SCHEMA = 1
Kind = Literal["missed", "false alarm"]


@dataclass(frozen=True)
class Error:
    """One missed defect or false alarm.

    Attributes:
        index: In the store.
        student: Whose map shows why the image took its route; "none" judged a refused one.
        margin: See `operating_point.Decided`; None for an image that was not judged.
        full_flags: Whether the full student would flag it.
        quality: The gate's figures by name.
        unusual: Those outside the range of the calibration normals.
        similarity: Cosine to the nearest training normal.
        similarity_rank: Share of calibration normals that are less like any training normal.
        defect: None without a mask.
        mode: Key of the failure mode.
        said: Type of defect that the classifier gives a flagged image; None without one.
    """

    index: int
    path: str
    type: str
    kind: Kind
    decision: str
    route: str
    student: str
    margin: float | None
    full_flags: bool
    quality: dict[str, float]
    unusual: list[str]
    refused_because: list[str]
    similarity: float
    similarity_rank: float
    nearest_normal: str
    defect: DefectFigures | None
    heat: HeatFigures | None
    mode: str = ""
    said: str | None = None


@dataclass(frozen=True)
class Mode:
    """A group of errors by one rule; a figure that does not exist is None.

    Attributes:
        share: Of the errors of its kind.
    """

    key: str
    kind: Kind
    name: str
    rule: str
    count: int
    share: float
    figures: dict[str, Any]
    mitigation: str


@dataclass(frozen=True)
class TypeRow:
    """One defect type at the operating point; medians over all its masked defects, found or not."""

    type: str
    defects: int
    missed: int
    detection_rate: float
    interval: tuple[float, float]
    margin: float | None
    area: float | None
    contrast: float | None
    edge_share: float | None


@dataclass(frozen=True)
class Extreme:
    """The easiest or hardest type and why."""

    type: str
    detection_rate: float
    defects: int
    reason: str
    figures: dict[str, float | None]


@dataclass(frozen=True)
class Comparison:
    """Medians of one property over misses and found defects, or false alarms and passed normals; None if unknown."""

    name: str
    kind: Kind
    errors: float | None
    others: float | None


@dataclass(frozen=True)
class ErrorAnalysis:
    """The whole analysis."""

    data: str
    model: str
    operating_point: dict[str, Any]
    counts: dict[str, Any]
    modes: list[Mode]
    types: list[TypeRow]
    easiest: Extreme | None
    hardest: Extreme | None
    comparisons: list[Comparison]
    errors: list[Error]
    points: list[tuple[float, float, bool]]
    """Area, size of the contrast and whether missed, of every masked test defect that has both."""
    synthetic: bool
    """Whether the images come from the procedural generator."""
    provenance: Provenance
    shown: dict[str, int] = field(default_factory=dict)
    classes: FoundTypes | None = None
    """What a classifier of defect types says of the test images; None without one."""

    def of(self, kind: Kind) -> list[Error]:
        """The errors of one kind, the worst first."""
        return [error for error in self.errors if error.kind == kind]

    def to_json(self) -> dict[str, Any]:
        """The content of `errors.json`."""
        content = asdict(replace(self, classes=None))
        content["classes"] = None if self.classes is None else self.classes.to_json()
        content.pop("points")
        content["provenance"].pop("config_text")
        for row, mode in zip(content["modes"], self.modes, strict=True):
            row["top"] = mode in self.modes[:3]
        return {"schema": SCHEMA, **content}
