"""The HTML report: complete, self-contained, honest about what it cannot show."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from eval.pages.images import grey_address, heat_address
from eval.pages.theme import SERIES, STAND_INS
from eval.report.extras import Extras
from eval.report.page import render_report
from eval.report.requirements import requirements
from eval.results import Evaluation

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects text and tags, and fails on tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def html(evaluation: Evaluation) -> str:
    return render_report(evaluation)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_refers_to_nothing_outside_itself(html, page):
    assert "http" not in html
    assert "<script" not in html and "<link" not in html and "@import" not in html
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset"):
            # A link that a reader may follow loads nothing.
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/")), (tag, name, value)
    assert re.findall(r"url\((?!#)", html) == []


def test_it_suits_phones_the_dark_and_paper(html):
    assert 'name="viewport"' in html
    for rule in ("prefers-color-scheme: dark", "max-width: 640px", "@media print"):
        assert rule in html


def test_plots_take_their_colours_from_the_page(html):
    assert not any(colour in html for colour in STAND_INS.values())
    for series in SERIES.values():
        assert html.count(f"--{series.variable}:") == 3  # light, dark, print
        assert f"var(--{series.variable})" in html


def test_all_six_plots_are_there_with_an_explanation_each(page):
    titles = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert len(titles) == 6 and len(set(titles)) == 6
    assert [tag for tag, _ in page.tags].count("figcaption") == 6


def test_the_main_figures_are_told_in_words(page, evaluation):
    routing = evaluation.routing
    assert f"{routing.missed} of 160 defects pass" in page.text
    assert f"{routing.false_alarms} of 190 normal images" in page.text
    assert f"{evaluation.models['routed'].image_auroc:.3f}" in page.text
    for series in SERIES.values():
        assert series.label in page.text


def test_what_was_found_wrong_with_the_data_is_said(html):
    assert "Found in the data" in html
    assert "<li>3 masks mark no pixel</li>" in html


def test_names_from_the_data_are_escaped(html, page):
    assert "fray <deep>" in page.text and "<deep>" not in html
    assert "name: <made-up>" in page.text


def test_what_the_sample_cannot_prove_is_said(page):
    assert "With 160 test defects, even a perfect result could only show that fewer than 1.85 %" in page.text
    assert "2 995 defects without a miss" in page.text


def test_synthetic_figures_stand_apart_and_are_flagged(evaluation, page):
    section = page.text[page.text.index("On synthetic defects") :]
    assert "synthetic" in section and "0.0625" in section
    real_only = replace(evaluation, certificate={"synthetic": None, "assumptions": []})
    assert "synthetic" not in Page(render_report(real_only)).text


def test_each_mistake_is_shown_as_an_image_beside_its_heat_map(page, evaluation):
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    # One of the false alarms was refused by the gate and has no heat map.
    assert len(pictures) == 2 * (len(evaluation.misses) + len(evaluation.false_alarms)) - 1
    assert "refused by the quality gate" in page.text


def decoded(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB"))


def test_heat_has_one_scale_for_all_images(evaluation):
    example = replace(evaluation.misses[0], grey=np.full((64, 64), 0.5))
    quiet, loud = (decoded(heat_address(example.grey, np.full((16, 16), level))) for level in (0.4, 3.0))
    assert np.abs(quiet.astype(int) - 128).max() <= 3  # far below the reference nothing is tinted
    assert (loud[..., 0].astype(int) - loud[..., 1] > 60).all()
    spot = np.full((16, 16), 0.4)
    spot[8, 8] = 3.0
    beside_a_spot = decoded(heat_address(example.grey, spot))
    np.testing.assert_allclose(beside_a_spot[:20, :20].astype(int), quiet[:20, :20], atol=3)


def test_the_true_defect_is_outlined(evaluation):
    marked = decoded(grey_address(evaluation.misses[0].grey, evaluation.misses[0].mask)).astype(int)
    plain = decoded(grey_address(evaluation.misses[0].grey)).astype(int)
    colourful = (marked.max(axis=2) - marked.min(axis=2)) > 60
    assert colourful[29:41, 19:45].any() and not colourful[:20].any()
    assert (plain.max(axis=2) - plain.min(axis=2)).max() < 10


def test_without_defects_the_page_says_so_and_still_shows_the_rest(evaluation, without_defects):
    page = Page(render_report(without_defects(evaluation)))
    assert "There is no defect in the test set" in page.text
    assert "The test set holds no defect." in page.text
    titles = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert titles == ["Score histogram, low resolution", "Score histogram, escalated images"]


def test_without_a_route_only_the_models_are_compared(evaluation):
    models = {name: model for name, model in evaluation.models.items() if name in ("pca", "full")}
    bare = replace(
        evaluation, models=models, routing=None, parity=None, certificate=None, misses=[], false_alarms=[]
    )
    page = Page(render_report(bare))
    assert "no calibrated routing policy" in page.text
    assert "Against the requirements" not in page.text
    assert {attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"} == {
        "ROC curves",
        "ROC curves up to 20% false alarms",
        "Accuracy against time",
    }


def test_a_good_rate_on_few_defects_is_not_called_met(evaluation):
    perfect = replace(evaluation.routing, missed=0, fnr=0.0)
    lines = {line.name: line for line in requirements(replace(evaluation, routing=perfect))}
    escapes = lines["Escapes at the chosen thresholds"]
    assert escapes.verdict == "not proven"
    assert "0 of 160" in escapes.note
    many = replace(evaluation, routing=perfect, data=replace(evaluation.data, test_defect=3000))
    lines = {line.name: line for line in requirements(many)}
    assert lines["Escapes at the chosen thresholds"].verdict == "met"


def test_an_auroc_whose_interval_reaches_below_the_limit_is_not_called_met(evaluation):
    routed = replace(evaluation.models["routed"], image_auroc=0.96, intervals={"image_auroc": (0.94, 0.98)})
    lines = requirements(replace(evaluation, models={"routed": routed}))
    assert lines[0].verdict == "not proven"
    worse = replace(routed, image_auroc=0.93)
    assert requirements(replace(evaluation, models={"routed": worse}))[0].verdict == "not met"


def test_what_is_asked_of_an_image_is_said_with_its_evidence(evaluation):
    asked = {
        "weights": {"painted": 1.0},
        "tried": {"place": 0.575, "painted": 0.898},
        "support": {"place": 0.0, "painted": 1.0},
        "sentences": ["painted (does it look like a painted defect?) AUROC 0.898"],
    }
    page = render_report(evaluation, Extras(questions=asked))
    section = page[page.index('id="asked"') :]
    assert "<td>1.00</td><td>0.898</td>" in section
    assert "<td>–</td><td>0.575</td>" in section
    assert "AUROC 0.898" in section and "soft maximum" in section
    assert 'id="asked"' not in render_report(evaluation, Extras())


def test_why_nothing_more_is_asked_is_said_without_a_table(evaluation):
    alone = {"weights": {"place": 1.0}, "sentences": ["no further question: none is configured"]}
    section = render_report(evaluation, Extras(questions=alone)).split('id="asked"')[1].split("</section>")[0]
    assert "none is configured" in section and "<table" not in section
