"""The report folder's page and its figures, as files."""

from pathlib import Path

from eval.report import facts
from eval.report.extras import Extras
from eval.report.html import render_report
from eval.results import Evaluation
from wafer_data.files import write_json, write_text


def write_page(folder: Path, evaluation: Evaluation, extras: Extras) -> None:
    """Write report.html with page.json and latency.json, which hold what it shows beyond report.json."""
    html = render_report(evaluation, extras)
    if extras.study is not None:
        extras.study.write(folder)
    write_json(folder / facts.FILE, facts.facts(evaluation) | extras.to_json())
    write_text(folder / "report.html", html)
