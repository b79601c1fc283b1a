"""Copies for the fit of the likelihood: which ones, and in which order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wafer_data import symmetric_copies
from wafer_data.symmetric_copies import SAME, changes_from, in_folds, normals_and_copies, within

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


def test_many_images_get_fewer_copies_or_none(monkeypatch):
    monkeypatch.setattr(symmetric_copies, "MOST_FITTED", 100)
    changes = changes_from(FLIPS)
    assert [len(within(changes, images)) for images in (0, 12, 50, 51, 1000)] == [8, 8, 2, 1, 1]


def test_copies_come_beside_their_images(tiny_store):
    indices = tiny_store.indices("train", label=0)[:3]
    changes = changes_from(["vertical_flip"])
    images = np.concatenate(list(normals_and_copies(tiny_store, indices, changes, 3, batch=4)))[:, 0]
    plain = tiny_store.batch(indices)[:, 0]
    np.testing.assert_array_equal(images, np.concatenate([plain, [changes[1].of(image) for image in plain]]))
