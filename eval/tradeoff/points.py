"""One measured setting, and the whole study as it lies in `report/latency.json`."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json

SCHEMA = 1
FILE = "latency.json"


@dataclass(frozen=True)
class Point:
    """A model in one setting: how long, how accurate, how large.

    Attributes:
        model: Name as in report.json.
        run: Of another run its name, of this one "".
        precision: "fp32" or "int8".
        delivered: Whether the graph is the one in the bundle (or the model itself).
        input_size: Side at which the model looks, pixels.
        width: Of a student, relative.
        device: "cpu" or "cuda". Times are milliseconds of a whole call of `batch` images.
        runs: Calls behind them.
        typical_ms: Of an image, the median; of the route the mean of both kinds' medians, at its share of
            escalations.
        memory_bytes: Peak of a process that did nothing else, or of the GPU.
        disk_bytes: Of the model's files.
        image_auroc, fnr_at_fpr5: On the test images of this run.
        timed: What was timed, in words.
    """

    model: str
    batch: int
    threads: int
    mean_ms: float | None
    p50_ms: float
    p99_ms: float
    runs: int | None
    images_per_second: float
    timed: str
    typical_ms: float
    run: str = ""
    precision: str = "fp32"
    delivered: bool = True
    device: str = "cpu"
    input_size: int | None = None
    width: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    image_auroc: float | None = None
    fnr_at_fpr5: float | None = None

    @property
    def milliseconds_an_image(self) -> float:
        """Time of a call by its images."""
        return (self.p50_ms if self.mean_ms is None else self.mean_ms) / self.batch


@dataclass(frozen=True)
class ThresholdPoint:
    """The routed system at another escalation threshold.

    Attributes:
        share: Of normals to escalate, by the calibration normals.
        threshold: Standardised low-resolution score, None where nothing or everything is escalated.
        share_measured: Of the test normals.
        missed: Share of test defects that pass with the review threshold as it is. Times of one image, one
            thread, at `share`: typical_ms is the mean of both kinds' medians, which other programs on the
            computer disturb least.
    """

    share: float
    threshold: float | None
    share_measured: float | None
    missed: float | None
    image_auroc: float | None
    fnr_at_fpr5: float | None
    typical_ms: float
    mean_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Study:
    """All that was measured.

    Attributes:
        mode: "short" (as part of a run) or "full" (`waferroute report`).
        low_ms, full_ms: Median time of an image that the low-resolution student settles, and what escalation
            adds, one thread; None without a route.
        notes: What could not be measured, or is doubtful, in sentences.
    """

    mode: str
    measured: str
    machine: str
    cores: int
    images: int
    points: list[Point]
    thresholds: list[ThresholdPoint] = field(default_factory=list)
    low_ms: float | None = None
    full_ms: float | None = None
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The content of `latency.json`."""
        return {"schema": SCHEMA, **asdict(self)}

    def write(self, folder: Path) -> None:
        """Write `latency.json` into the report folder."""
        write_json(folder / FILE, self.to_json())

    @classmethod
    def read(cls, folder: Path) -> "Study | None":
        """The study in a report folder, None if there is none. Raises `InputError` for a damaged file."""
        path = folder / FILE
        if not path.is_file():
            return None
        content = read_json(path)
        try:
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']}")
            values = {one.name: content[one.name] for one in fields(cls)}
            values["points"] = [Point(**row) for row in values["points"]]
            values["thresholds"] = [ThresholdPoint(**row) for row in values["thresholds"]]
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} cannot be used ({error}): measure again with --measure") from error
