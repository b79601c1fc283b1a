"""Everything an exploration found out: what `explore.json` says and the page draws."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from eval.explore.alignment import Alignment
from eval.explore.container import Container
from eval.explore.differences import Difference, Drift, Threshold
from eval.explore.extent import Extent
from eval.explore.intensity import Histograms
from eval.explore.period import Grain, Pattern, RadialPeak
from eval.explore.statistics import STATISTICS
from eval.provenance import Provenance

SCHEMA = 1
Kind = Literal["aligned object", "periodic pattern", "random texture"]


@dataclass(frozen=True)
class DataFigures:
    """The data set, and how much of it was looked at.

    Attributes:
        counts: Images in each split, as in the report.
        size: Side of the stored images in pixels.
        normals_read, texture_read, compared_normals, defects_read: Images behind the training normals'
            figures, the texture's, and the two sides of the comparison with defects.
        compared_with: Where the comparison's normals come from.
    """

    name: str
    fingerprint: str
    counts: dict[str, int]
    size: int
    normals_read: int
    texture_read: int
    compared_with: str
    compared_normals: int
    defects_read: int
    types: dict[str, int]
    """Defects of each type in the data set, alphabetically."""


@dataclass(frozen=True)
class Texture:
    """Figures of the training normals' autocorrelation and power spectrum.

    Attributes:
        radial_power: Mean power at 1, 2, ... S / 2 cycles an image; 1 is white noise of the same variance.
        along, across: Correlation at whole pixels from 0 on, in the direction of the period (without one: of
            the longest grain) and at right angles to it.
    """

    kind: Kind
    pattern: Pattern | None
    grain: Grain
    radial_peak: RadialPeak
    radial_power: list[float]
    along: list[float]
    across: list[float]


@dataclass(frozen=True)
class MeanFigures:
    """Extremes of the mean and of the standard deviation image, intensities as shares of full scale."""

    mean: tuple[float, float]
    deviation: tuple[float, float]


@dataclass(frozen=True)
class Shown:
    """One image on the page: its position in the data set, the end of its path, its type, whether it has a mask."""

    index: int
    path: str
    type: str
    masked: bool = False


@dataclass(frozen=True)
class Answer:
    """One question about the data, answered.

    Attributes:
        rule: How the verdict follows from the figures.
    """

    question: str
    verdict: str
    sentences: list[str]
    rule: str


@dataclass(frozen=True)
class Exploration:
    """All figures.

    `differences`, `threshold` and `extent` are None without a defect, `drift` without a normal test image.
    """

    data: DataFigures
    container: Container
    intensities: Histograms
    levels: tuple[float, float]
    """Greys of the files' range that count as 0 and as 1 everywhere else here; (0, 1) if nothing is stretched."""
    mean_image: MeanFigures
    texture: Texture
    alignment: Alignment
    drift: Drift | None
    differences: list[Difference] | None
    threshold: Threshold | None
    extent: Extent | None
    contrasts: Histograms | None
    """Intensities of the compared normals, of the defects, and inside the defects' masks."""
    normals_shown: list[Shown]
    defects_shown: list[Shown]
    provenance: Provenance
    answers: list[Answer] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The content of `explore.json`, schema 1."""
        statistics = {name: asdict(statistic) for name, statistic in STATISTICS.items()}
        return {"schema": SCHEMA, **asdict(self), "statistics": statistics}
