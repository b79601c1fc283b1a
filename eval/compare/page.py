"""Fills the page template of a comparison."""

from dataclasses import dataclass

from eval.compare.findings import Comparison
from eval.compare.measure import Figures, verdict
from eval.compare.plots import difference_plot
from eval.metrics import PairedDifference
from eval.pages import theme, wording
from eval.pages.render import render

METRICS = {
    "image_auroc": ("AUROC", False),
    "image_auprc": ("AUPRC", False),
    "fnr_at_fpr5": ("missed at 5 %", True),
    "pixel_auroc": ("pixel AUROC", False),
    "pixel_aupro": ("AUPRO", False),
}
"""Heading of each metric, and whether it is a share, shown in per cent."""
DECISIONS = {"fnr": ("defects passed", True), "fpr": ("normals stopped", True)}


@dataclass(frozen=True)
class Cell:
    """One figure of one run: as text, with its interval, its difference from the reference and what that means."""

    value: str
    interval: str
    difference: str
    verdict: str | None


@dataclass(frozen=True)
class Table:
    """One model's figures, a row a run."""

    title: str
    role: str
    headings: list[str]
    rows: list[tuple[str, bool, list[Cell], str]]
    """Run, whether it is the reference, cells, median latency as reported."""


def render_page(found: Comparison) -> str:
    """The whole HTML page as text; needs nothing but itself to be shown."""
    return render(
        "eval.compare",
        {
            "found": found,
            "summary": [_sentence(found, name) for name in found.differences],
            "synthetic": {name: run.synthetic for name, run in found.runs.items() if run.synthetic},
            "cut": any(not run.whole for run in found.runs.values()),
            "tables": [_model_table(found, name) for name in theme.SERIES if _holders(found, name)],
            "decisions": _decision_table(found),
            "plots": {title: plot for title, plot in _plots(found).items() if plot},
            "same_data": len({run.images.fingerprint for run in found.runs.values()}) == 1,
        },
    )


def _plots(found: Comparison) -> dict[str, str | None]:
    return {
        "AUROC": difference_plot(found, "image_auroc", "AUROC", False),
        "Defects missed at 5 % false alarms": difference_plot(found, "fnr_at_fpr5", "defects missed", True),
    }


def _holders(found: Comparison, model: str) -> list[str]:
    return [name for name, figures in found.figures.items() if model in figures.models]


def _model_table(found: Comparison, model: str) -> Table:
    rows = []
    for name in _holders(found, model):
        figures = found.figures[name].models[model]
        differences = found.differences[name].models.get(model, {}) if name in found.differences else {}
        cells = [_cell(figures, differences, metric, share) for metric, (_, share) in METRICS.items()]
        latency = found.runs[name].run.report["models"].get(model, {}).get("latency_ms") or {}
        rows.append((name, name == found.reference, cells, wording.milliseconds(latency.get("p50"))))
    series = theme.SERIES[model]
    return Table(series.label, series.role, [heading for heading, _ in METRICS.values()], rows)


def _decision_table(found: Comparison) -> Table | None:
    rows = []
    for name, figures in found.figures.items():
        if figures.decisions is None:
            continue
        differences = found.differences[name].decisions if name in found.differences else {}
        cells = [_cell(figures.decisions, differences, key, share) for key, (_, share) in DECISIONS.items()]
        rows.append((name, name == found.reference, cells, ""))
    return Table("", "", [heading for heading, _ in DECISIONS.values()], rows) if rows else None


def _cell(figures: Figures, differences: dict[str, PairedDifference], metric: str, share: bool) -> Cell:
    value, interval = figures.values.get(metric), figures.intervals.get(metric)
    difference = differences.get(metric)
    return Cell(
        wording.percent(value) if share else wording.metric(value),
        wording.percent_bounds(interval) if share else wording.bounds(interval),
        "" if difference is None else _signed(difference, share),
        None if difference is None else verdict(metric, difference),
    )


def _signed(difference: PairedDifference, share: bool) -> str:
    """A difference with its interval: "+0.012 (0.004 to 0.020)"; shares in percentage points."""
    factor, digits = (100.0, 1) if share else (1.0, 3)
    middle, low, high = (
        f"{round(factor * end, digits) + 0.0:+.{digits}f}"
        for end in (difference.difference, difference.low, difference.high)
    )
    return f"{middle} ({low} to {high}){f'{wording.NBSP}pt' if share else ''}"


def _sentence(found: Comparison, name: str) -> str:
    """What the difference of the product, or else of the first model that both runs have, comes to."""
    differences = found.differences[name].models
    shared = [model for model in theme.SERIES if model in differences]
    if not shared:
        return f"{name} and {found.reference} have no model in common."
    model = shared[0]
    figures = found.figures[name].models[model].values
    return (
        f"{name}, {theme.SERIES[model].label.lower()}: AUROC {wording.metric(figures['image_auroc'])}, "
        f"{_said('image_auroc', differences[model]['image_auroc'], False)}; missed at 5 % false alarms "
        f"{wording.percent(figures['fnr_at_fpr5'])}, {_said('fnr_at_fpr5', differences[model]['fnr_at_fpr5'], True)}."
    )


def _said(metric: str, difference: PairedDifference, share: bool) -> str:
    meaning = {
        "better": "clearly better",
        "worse": "clearly worse",
        "open": "not distinguished from the reference",
    }
    return f"{meaning[verdict(metric, difference)]}: {_signed(difference, share)}"
