"""A candidate that lost something does not pass, and what it lost is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import roc_auc_score

from lifecycle.gate.figures import auroc, paired_intervals
from lifecycle.gate.gate import Thresholds, compare, run_gate
from lifecycle.gate.scored import LabelledImage, ScoredSet, labelled_images
from wafer_data.errors import InputError

NORMALS, EACH = 400, 200


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=60),
    st.lists(st.integers(-5, 5), min_size=1, max_size=60),
)
def test_auroc_is_that_of_scikit_learn(normal: list[int], bad: list[int]):
    labels = [0] * len(normal) + [1] * len(bad)
    assert auroc(np.array(normal), np.array(bad)) == pytest.approx(roc_auc_score(labels, normal + bad))


def images() -> list[LabelledImage]:
    kinds = ["good"] * NORMALS + ["scratch"] * EACH + ["particle"] * EACH
    return [LabelledImage(Path(f"{i}.png"), kind, f"{kind}/{i}.png") for i, kind in enumerate(kinds)]


def scored(seed: int, shift: float = 4.0, lost: slice | None = None, slow: float = 1.0) -> ScoredSet:
    """Scores of a model whose defects lie `shift` above its normals; those of `lost` look normal to it."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 1, NORMALS + 2 * EACH)
    scores[NORMALS:] += shift
    if lost is not None:
        scores[lost] -= shift + 1
    scores += np.random.default_rng(seed).normal(0, 0.02, len(scores))
    return ScoredSet(scores, scores < 1.6, np.full(len(scores), slow))


TOLERANT = Thresholds(regressions=3)


def test_an_equal_candidate_passes():
    report = compare(images(), scored(2), scored(3), TOLERANT)
    assert report.passed, report.reasons
    assert report.images == (NORMALS, 2 * EACH)


def test_the_first_version_has_no_production_to_be_compared_with():
    report = compare(images(), scored(2), None, Thresholds())
    assert report.passed, report.reasons
    assert report.production is None


def test_a_candidate_that_lost_a_defect_type_never_passes_and_the_type_is_named():
    everything = slice(NORMALS, NORMALS + EACH)
    lenient = Thresholds(auroc=0, fnr_at_fpr5=1, escape=1, false_alarm=1, worse=1, regressions=10_000)
    report = compare(images(), scored(2, lost=everything), scored(3), lenient)
    assert not report.passed
    assert any("no defect of the type scratch" in reason for reason in report.reasons)


def test_defects_that_only_production_finds_are_named_one_by_one():
    report = compare(images(), scored(2, lost=slice(NORMALS, NORMALS + 5)), scored(3), Thresholds())
    assert not report.passed
    assert {f"scratch/{NORMALS + i}.png" for i in range(5)} <= set(report.regressions)


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (scored(2, shift=1.0), "auroc is"),
        (scored(2, shift=1.0), "worse than production's"),
        (scored(2, slow=80.0), "p99_ms is 80"),
    ],
)
def test_what_is_worse_is_said(candidate: ScoredSet, said: str):
    report = compare(images(), candidate, scored(3), Thresholds())
    assert any(said in reason for reason in report.reasons)


def test_a_figure_that_cannot_be_computed_fails():
    normals = [image for image in images() if not image.defective]
    part = scored(2)
    only = ScoredSet(part.scores[:NORMALS], part.passed[:NORMALS], part.milliseconds[:NORMALS])
    assert any("cannot be computed" in r for r in compare(normals, only, None, Thresholds()).reasons)


def test_intervals_hold_the_true_difference_about_as_often_as_they_say():
    rng, held = np.random.default_rng(0), 0
    defective = np.repeat([False, True], 120)
    truth = 0.9214 - 0.8556  # AUROC of shifts 2 and 1.5: Phi(shift / sqrt 2)
    for _ in range(60):
        shared = rng.normal(0, 0.7, 240)
        old = shared + rng.normal(0, 0.714, 240) + 1.5 * defective
        new = shared + rng.normal(0, 0.714, 240) + 2.0 * defective
        _, low, high = paired_intervals((old, old < 1), (new, new < 1), defective, draws=120)["auroc"]
        held += low <= truth <= high
    assert held >= 50


class TestOnRealFiles:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        from tests.tool_side.conftest import wafer  # the tool side's synthetic images

        root = tmp_path_factory.mktemp("frozen")
        for kind, defect, first, count in (("good", 0.0, 1000, 30), ("spot", 0.4, 2000, 10)):
            (root / "test" / kind).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(wafer(first + i, defect)).save(root / "test" / kind / f"{i}.png")
        return root

    def test_both_bundles_decide_as_the_tool_does(self, folder: Path, bundles: list[Path]):
        report = run_gate(
            bundles[1], bundles[0], labelled_images(folder), Thresholds(worse=0.2, false_alarm=0.3)
        )
        assert report.images == (30, 10)
        assert report.candidate["escape"] == 0
        assert report.regressions == []

    def test_a_candidate_that_sees_nothing_is_stopped(
        self, folder: Path, bundles: list[Path], write_bundle: Callable[..., Path], tmp_path: Path,
        student_graph: Callable[..., bytes],
    ):  # fmt: skip
        # a graph that sees one cell: the mean of the whole image
        blind = write_bundle(tmp_path / "blind", lowres=student_graph(1, 0.2), full=student_graph(1, 0.2))
        report = run_gate(blind, bundles[0], labelled_images(folder))
        assert not report.passed
        assert any("false_alarm may be worse than production's" in reason for reason in report.reasons)

    def test_a_folder_without_images_is_named(self, tmp_path: Path):
        with pytest.raises(InputError, match="holds no images"):
            labelled_images(tmp_path)
