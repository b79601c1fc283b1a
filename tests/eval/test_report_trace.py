"""Every number in the page's tables comes from a JSON file beside it, and a page can be drawn again from them."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from eval.metrics import clopper_pearson_upper
from eval.pages import wording
from eval.report.certificate import promises
from eval.report.page import render_report
from eval.report.tables import type_rows
from eval.tradeoff.points import Study
from wafer_data.errors import InputError

NUMBER = re.compile(r"\d[\d\u202f]*(?:\.\d+)?")


class Cells(HTMLParser):
    """The text of all table cells in the body."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inside, self.cells = False, []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "td":
            self.inside = True
            self.cells.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "td"

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += " " + data


def numbers_of(content) -> set[float]:
    if isinstance(content, dict):
        return set().union(*(numbers_of(value) for value in content.values()), set())
    if isinstance(content, list):
        return set().union(*(numbers_of(value) for value in content), set())
    return {float(content)} if isinstance(content, int | float) and not isinstance(content, bool) else set()


def spellings(values: set[float]) -> set[str]:
    """Every way in which the page may write one of the values."""
    ways = [
        wording.metric,
        wording.percent,
        wording.amount,
        wording.round_count,
        wording.rate,
        wording.milliseconds,
    ]
    ways += [
        lambda v: wording.percent(v, 0),
        lambda v: wording.percent(v, 2),
        lambda v: wording.parameters(int(v)),
    ]
    ways += [lambda v: wording.megabytes(int(v)), lambda v: wording.grouped(round(v)), lambda v: f"{v:g}"]
    ways += [lambda v: f"{v:.2f}"]
    found = set()
    for value in values:
        if np.isfinite(value):
            for way in ways:
                found |= set(NUMBER.findall(way(abs(value))))
    return found


# What the fab asks for, and confidence levels: they are constants of the page, not results.
ASKED = {"0.95", "0.85", "0.90", "0.5", "0.1", "5", "8", "50", "15.0", "95", "99", "2\u202f995", "598"}


@pytest.fixture(scope="module")
def folder(evaluation, extras, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.json").write_text(json.dumps(evaluation.to_report_json()))
    (folder / "report.html").write_text(render_report(evaluation, extras), encoding="utf-8")
    (folder / "page.json").write_text(json.dumps(evaluation.to_page_json() | extras.to_json()))
    extras.study.write(folder)
    return folder


def untraced(html: str, folder: Path, evaluation) -> list[str]:
    content = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    known = spellings(numbers_of(content) | derived(evaluation)) | ASKED
    return [
        f"{number} in {cell.strip()!r}"
        for cell in Cells(html).cells
        for number in NUMBER.findall(cell)
        if number not in known
    ]


def derived(evaluation) -> set[float]:
    """Counts and exact bounds that the page works out from the decisions in predictions.json."""
    values: set[float] = set()
    for row in type_rows(evaluation):
        values |= {row.count, row.missed, row.missed / row.count, row.missed_upper95}
    for rate in (evaluation.routing.fnr, evaluation.models["routed"].fnr_at_fpr5):
        missed = round(rate * evaluation.data.test_defect)
        values |= {missed, clopper_pearson_upper(missed, evaluation.data.test_defect)}
    return values


def test_every_number_in_a_table_is_in_a_file_beside_the_page(folder, evaluation):
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert len(Cells(html).cells) > 200
    assert untraced(html, folder, evaluation) == []


def test_a_number_from_elsewhere_would_be_found(folder, evaluation, extras):
    models = dict(evaluation.models)
    models["full"] = replace(models["full"], image_auroc=0.123456)
    forged = render_report(replace(evaluation, models=models), extras)
    assert any("0.123" in found for found in untraced(forged, folder, evaluation))


def test_the_study_reads_back_as_it_was_written(folder, extras):
    assert Study.read(folder) == extras.study
    assert Study.read(folder / "nowhere") is None


def test_a_damaged_study_is_an_error_that_says_what_to_do(tmp_path):
    (tmp_path / "latency.json").write_text('{"schema": 1}')
    with pytest.raises(InputError, match="--measure"):
        Study.read(tmp_path)


def test_all_parts_of_the_page_are_there(folder):
    html = (folder / "report.html").read_text(encoding="utf-8")
    for title in (
        "Does it fit the time budget?",
        "A month on the line",
        "Time against accuracy",
        "Routing: what is escalated",
        "At the boundary",
        "Escalation promised and seen",
        "reported, not measured here",
        "this surface has no such symmetry",
    ):
        assert title in html
    for target in re.findall(r'href="#([a-z]+)"', html):
        assert f'id="{target}"' in html


def test_the_certificate_is_told_line_by_line_and_promises_nothing_unknown():
    confident = {"confidence": 0.95}
    rate = {"target": 0.065, "expected": 0.0588, "interval": [0.0274, 0.1011], **confident}
    certificate = {
        "sample": {"normals": 152, "scores_sha256": "c51a" * 16},
        "escalation": rate | {"budget": [0.05, 0.08], "probability_within_budget": 0.5154},
        "reject": {"status": "unavailable", "reason": "too few normals"},
        "gate": {"refused": 0, "of": 152, "upper": 0.0195, **confident},
        "fnr": {"status": "unknown", "reason": "no labelled defect was given"},
    }
    lines = {line.name: line for line in promises(certificate)}
    escalated = lines["Normal images sent to the full student"]
    assert escalated.verdict == "expected" and "5.9" in escalated.stated and "10.1" in escalated.note
    assert lines["Normal images rejected without a person"].stated == "none"
    assert lines["Defects that pass"].verdict == "unknown"
    bounded = {"fnr": {"upper": 0.0721, "missed": 0, "defects": 40, **confident}}
    assert "7.21" in promises(bounded)[0].stated and "0 of 40" in promises(bounded)[0].note
    assert promises(None) == []


def test_synthetic_data_are_flagged_at_the_top_and_at_every_heading(evaluation, extras):
    html = render_report(evaluation, replace(extras, synthetic_data="made by a test"))
    assert "made by a test" in html and "(synthetic images)</title>" in html
    headings = re.findall(r"<h2.*?</h2>", html)
    flagged = [heading for heading in headings if "synthetic" in heading]
    assert len(flagged) >= len(headings) - 1  # the list of versions and settings measures nothing
