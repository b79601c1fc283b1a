"""Copies for the fit of the likelihood: which ones, in which order, and that they reach the fit."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill import stages, symmetric_copies
from distill.augmentation import choose_augmentation
from distill.config import PoolConfig
from distill.stages import run_stage
from distill.symmetric_copies import SAME, changes_from, in_folds, normals_and_copies
from tests.conftest import tiny_distill_config
from tests.distill.test_stages import copy_of

IMAGE = np.arange(16.0).reshape(4, 4)
FLIPS = ("horizontal_flip", "vertical_flip", "rotate90")


@pytest.mark.parametrize(
    ("flips", "count"),
    [((), 1), (FLIPS[:1], 2), (FLIPS[1:2], 2), (FLIPS[:2], 4), (FLIPS[2:], 4), (FLIPS[1:], 8), (FLIPS, 8)],
)
def test_changes_are_different_begin_with_none_and_are_closed(flips, count):
    changes = changes_from(flips)
    made = {change.of(IMAGE).tobytes() for change in changes}
    assert changes[0] == SAME and len(made) == len(changes) == count
    twice = {b.of(a.of(IMAGE)).tobytes() for a in changes for b in changes}
    assert twice == made  # two of them in a row are one of them


def test_single_changes_are_what_their_names_say():
    assert np.array_equal(changes_from(["horizontal_flip"])[1].of(IMAGE), IMAGE[:, ::-1])
    assert np.array_equal(changes_from(["vertical_flip"])[1].of(IMAGE), IMAGE[::-1])
    assert np.array_equal(changes_from(["rotate90"])[1].of(IMAGE), np.rot90(IMAGE))


@given(st.integers(0, 40), st.integers(1, 8), st.integers(2, 7))
def test_an_image_and_its_copies_share_a_fold(count, copies, folds):
    order = list(in_folds(count, copies, folds))
    assert all(place % folds == image % folds for place, (image, _) in enumerate(order))
    assert len(set(order)) == len(order)
    assert {image for image, _ in order} == set(range(count))
    assert len(order) == count // folds * folds * copies + count % folds


def test_without_changes_the_images_come_as_they_are(tiny_store):
    indices = tiny_store.indices("train", label=0)
    images = np.concatenate(list(normals_and_copies(tiny_store, indices, [SAME], 3, batch=4)))
    np.testing.assert_array_equal(images, tiny_store.batch(indices))


def test_many_images_get_no_copies(tiny_store, monkeypatch):
    indices = tiny_store.indices("train", label=0)
    monkeypatch.setattr(symmetric_copies, "MOST_FITTED", 2 * len(indices) - 1)
    parts = normals_and_copies(tiny_store, indices, changes_from(FLIPS), 3)
    assert sum(len(part) for part in parts) == len(indices)


def test_only_changes_that_cannot_be_told_enter_the_fit(tmp_path):
    changes = {
        "horizontal_flip": {"auroc": 0.52, "interval95": [0.48, 0.56]},
        "vertical_flip": {"auroc": 0.64, "interval95": [0.6, 0.68]},
        "rotate90": {"auroc": 0.55, "interval95": [0.4, 0.7]},  # too few images to be sure
    }
    content = {"schema": 1, "fitted": 200, "judged": 200, "changes": changes}
    (tmp_path / "symmetries.json").write_text(json.dumps(content))
    found = choose_augmentation(PoolConfig(), tmp_path)
    assert found.exact == ("horizontal_flip",)
    assert found.reasons["horizontal_flip"].endswith("used, in the fit of the likelihood too")
    assert found.to_dict()["in_the_fit"] == ["horizontal_flip"]
    assert choose_augmentation(PoolConfig(exact_symmetry=0.5), tmp_path).exact == ()
    assert choose_augmentation(PoolConfig(flips="none"), tmp_path).exact == ()


def test_a_symmetric_surface_is_fitted_to_its_copies(tiny_run, tiny_store, tmp_path, monkeypatch):
    run_dir = copy_of(tiny_run, tmp_path, without=["lowres"])
    path = run_dir / "teacher" / "symmetries.json"
    content = json.loads(path.read_text())
    content["changes"]["vertical_flip"] = {"auroc": 0.5, "interval95": [0.45, 0.55]}
    path.write_text(json.dumps(content))
    seen = []
    real = stages.fit_with_labels

    def spy(batches, *others):
        seen.append(sum(len(part) for part in batches()))
        return real(batches, *others)

    monkeypatch.setattr(stages, "fit_with_labels", spy)
    config = tiny_distill_config()
    run_stage("lowres", config, run_dir, tiny_store)
    count, folds = len(tiny_store.indices("train", label=0)), config.lowres.student.likelihood.folds
    assert seen == [count + count // folds * folds]
    assert json.loads((run_dir / "lowres" / "augmentation.json").read_text())["in_the_fit"] == [
        "vertical_flip"
    ]
