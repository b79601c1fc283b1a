"""What a command prints when it has ended: a table of the stages, the main figures, where the results are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wafer_data.files import read_json
from waferroute.pipeline import Outcome
from waferroute.stages import BUNDLE, REPORT

WIDTH_WITHOUT_TERMINAL = 120
# heading, key in a model's entry of report.json, format
_COLUMNS = (
    ("parameters", "params", "{:,}"),
    ("input", "input_size", "{}"),
    ("AUROC", "image_auroc", "{:.3f}"),
    ("AUPRC", "image_auprc", "{:.3f}"),
    ("FNR at 5 % FPR", "fnr_at_fpr5", "{:.1%}"),
    ("pixel AUROC", "pixel_auroc", "{:.3f}"),
    ("AUPRO", "pixel_aupro", "{:.3f}"),
)
_ROUTING = (
    ("escalated, normal test images", "escalation_rate_normal", "{:.1%}"),
    ("escalated, all test images", "escalation_rate", "{:.1%}"),
    ("missed defects", "fnr", "{:.1%}"),
    ("missed defects, upper 95 % bound", "fnr_upper95", "{:.1%}"),
    ("false alarms", "fpr", "{:.1%}"),
    ("mean time, a normal image, routed", "mean_latency_ms", "{:.2f} ms"),
    ("mean time, always full", "always_full_latency_ms", "{:.2f} ms"),
)


def as_json(run_dir: Path, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The summary for programs.

    run_dir, stages and, if evaluation was among them, the figures; if there is a report or a bundle, its
    path.
    """
    content: dict[str, Any] = {
        "run_dir": str(run_dir),
        "stages": [asdict(outcome) | {"seconds": round(outcome.seconds, 3)} for outcome in outcomes],
    }
    report = _report_of(run_dir, outcomes)
    if report is not None:
        content |= {key: report.get(key) for key in ("data", "models", "routing")}
    return content | {key: str(path) for key, path in _paths(run_dir, outcomes).items()}


def print_summary(run_dir: Path, outcomes: Sequence[Outcome], console: Console | None = None) -> None:
    """Print the summary on standard output."""
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=WIDTH_WITHOUT_TERMINAL)
    console.print(_stage_table(outcomes))
    report = _report_of(run_dir, outcomes)
    if report is not None:
        console.print(_data_line(report.get("data") or {}))
        console.print(_model_table(report.get("models") or {}))
        console.print(_routing_table(report.get("routing") or {}))
    for name, path in (_paths(run_dir, outcomes) or {"run folder": run_dir}).items():
        console.print(f"{name}: {escape(str(path))}", soft_wrap=True, highlight=False)


def _report_of(run_dir: Path, outcomes: Sequence[Outcome]) -> dict[str, Any] | None:
    if not any(outcome.stage == "evaluate" for outcome in outcomes):
        return None
    report: dict[str, Any] = read_json(run_dir / REPORT / "report.json")
    return report


def _paths(run_dir: Path, outcomes: Sequence[Outcome]) -> dict[str, Path]:
    stages = {outcome.stage for outcome in outcomes}
    paths = {}
    if "evaluate" in stages:
        paths["report"] = run_dir / REPORT / "report.html"
    if "export" in stages:
        paths["bundle"] = run_dir / BUNDLE
    return paths


def _stage_table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("stage", "", title="Stages", title_justify="left")
    table.add_column("seconds", justify="right")
    for outcome in outcomes:
        table.add_row(outcome.stage, outcome.status, f"{outcome.seconds:.1f}")
    done = sum(outcome.seconds for outcome in outcomes if outcome.status == "done")
    table.add_section()
    table.add_row("this time", "", f"{done:.1f}")
    return table


def _data_line(data: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in data.items() if key != "name")
    return escape(f"Data: {data.get('name')} ({counts})")


def _model_table(models: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("model", title="On test images", title_justify="left")
    for heading, _, _ in _COLUMNS:
        table.add_column(heading, justify="right")
    table.add_column("median ms", justify="right")
    for name, entry in models.items():
        latency = (entry.get("latency_ms") or {}).get("p50")
        cells = [_figure(entry.get(key), form) for _, key, form in _COLUMNS]
        table.add_row(name, *cells, _figure(latency, "{:.2f}"))
    return table


def _routing_table(routing: Mapping[str, Any]) -> Table:
    table = Table("routing", title="Routing on test images", title_justify="left")
    table.add_column("", justify="right")
    for label, key, form in _ROUTING:
        table.add_row(label, _figure(routing.get(key), form))
    return table


def _figure(value: Any, form: str) -> str:
    return "-" if value is None else form.format(value)
