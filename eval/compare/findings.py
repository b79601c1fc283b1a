"""A whole comparison: what `comparison.json` says and the page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from eval.compare.match import Compared
from eval.compare.measure import SEED, Differences, Figures, RunFigures, differences, measure_run, verdict
from eval.metrics import PairedDifference

SCHEMA = 1


@dataclass(frozen=True)
class Comparison:
    """Several runs on their common test images; `runs` are cut to these."""

    runs: dict[str, Compared]
    reference: str
    figures: dict[str, RunFigures]
    differences: dict[str, Differences]
    """By run, without the reference."""
    settings: dict[str, dict[str, str]]
    """Configuration keys that are not the same everywhere: value by run, "-" where a run has no such key."""
    test_images: dict[str, int]
    """How many test images each run had before it was cut."""
    created: str
    resamples: int

    @property
    def normal(self) -> int:
        """Common normal images."""
        return int((self.runs[self.reference].labels == 0).sum())

    @property
    def defect(self) -> int:
        """Common defective images."""
        return int((self.runs[self.reference].labels == 1).sum())

    def to_json(self) -> dict[str, Any]:
        """The content of `comparison.json`."""
        return {
            "schema": SCHEMA,
            "created": self.created,
            "reference": self.reference,
            "bootstrap": {"resamples": self.resamples, "seed": SEED, "confidence": 0.95},
            "images": {
                "common": self.normal + self.defect,
                "normal": self.normal,
                "defect": self.defect,
                "tested": self.test_images,
            },
            "runs": {name: self._run_json(name) for name in self.runs},
            "differences": {
                name: {
                    "models": {model: _differences_json(values) for model, values in found.models.items()},
                    "decisions": _differences_json(found.decisions) if found.decisions else None,
                }
                for name, found in self.differences.items()
            },
            "settings": self.settings,
        }

    def _run_json(self, name: str) -> dict[str, Any]:
        run, figures = self.runs[name], self.figures[name]
        reported = run.run.report["models"]
        return {
            "data": run.run.report["data"].get("name"),
            "data_fingerprint": run.images.fingerprint,
            "synthetic": run.synthetic,
            "models": {
                model: _figures_json(found)
                | {key: reported.get(model, {}).get(key) for key in ("params", "input_size", "latency_ms")}
                for model, found in figures.models.items()
            },
            "decisions": _figures_json(figures.decisions) if figures.decisions else None,
        }


def compare(
    runs: Sequence[Compared], reference: str, test_images: Mapping[str, int], resamples: int
) -> Comparison:
    """Measure runs that were cut to their common images, and each against the one called `reference`."""
    by_name = {run.name: run for run in runs}
    return Comparison(
        runs=by_name,
        reference=reference,
        figures={name: measure_run(run, resamples) for name, run in by_name.items()},
        differences={
            name: differences(run, by_name[reference], resamples)
            for name, run in by_name.items()
            if name != reference
        },
        settings=_differing_settings(by_name),
        test_images=dict(test_images),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        resamples=resamples,
    )


def _differing_settings(runs: Mapping[str, Compared]) -> dict[str, dict[str, str]]:
    keys = dict.fromkeys(key for run in runs.values() for key in run.run.settings)
    found = {key: {name: run.run.settings.get(key, "-") for name, run in runs.items()} for key in keys}
    return {key: values for key, values in found.items() if len(set(values.values())) > 1}


def _figures_json(figures: Figures) -> dict[str, Any]:
    return {**figures.values, "intervals": {key: list(ends) for key, ends in figures.intervals.items()}}


def _differences_json(found: Mapping[str, PairedDifference]) -> dict[str, Any]:
    return {
        metric: asdict(difference) | {"verdict": verdict(metric, difference)}
        for metric, difference in found.items()
    }
