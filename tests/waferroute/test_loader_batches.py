"""Batches of a loader: every form in which torch and numpy have images and labels, and what is refused by name."""

from pathlib import Path

import numpy as np
import pytest
import torch

from wafer_data.errors import InputError
from wafer_data.imaging.read import read_image
from waferroute.loader_batches import read_batch
from waferroute.loader_images import write_images

GREY = np.random.default_rng(0).integers(0, 65536, (4, 1, 32, 40), dtype=np.uint16)


def written(batch, tmp_path: Path) -> list[np.ndarray]:
    normal, defective = write_images([batch], tmp_path / "images")
    folders = [normal, *([defective] if defective else [])]
    return [read_image(path) for folder in folders for path in sorted(folder.iterdir())]


class TestImages:
    @pytest.mark.parametrize("form", [">u2", "<u2", ">f4", "<f8"])
    def test_bytes_of_either_order(self, form, tmp_path):
        given = GREY if form.endswith("u2") else GREY / 65535
        for found, expected in zip(written(given.astype(form), tmp_path), GREY[:, 0], strict=True):
            np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("type_", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_floats_of_torch_with_or_without_a_gradient(self, type_, tmp_path):
        given = torch.from_numpy((GREY / 65535).astype(np.float32)).to(type_).requires_grad_()
        expected = np.rint(given.detach().double().numpy() * 65535)[:, 0]
        for found, values in zip(written((given, torch.zeros(4)), tmp_path), expected, strict=True):
            np.testing.assert_array_equal(found, values)
        assert given.requires_grad

    def test_a_list_of_images_of_different_sizes(self, tmp_path):
        images = [GREY[0], GREY[1, 0, :16], torch.from_numpy(GREY[2, :, :, :20] / 65535)]
        for name, batch in (("a", (images, [0, 0, 0])), ("b", {"image": images})):
            found = written(batch, tmp_path / name)
            assert [image.shape for image in found] == [(32, 40), (16, 40), (32, 20)]
            np.testing.assert_array_equal(found[2], GREY[2, 0, :, :20])

    def test_a_list_of_images_of_one_size_needs_no_labels(self, tmp_path):
        assert len(written(list(GREY), tmp_path)) == 4

    @pytest.mark.parametrize(
        ("batch", "message"),
        [
            (
                [np.zeros((8, 8)), np.zeros((8, 9)), np.zeros((7, 8))],
                "list of images of different sizes: give it as",
            ),
            ((GREY, [0] * 4, ["a"] * 4), r"image 0 of a batch has shape \(4, 1, 32, 40\).*a batch is images"),
            (([np.zeros((8, 8)), np.zeros((2, 8, 8))], [0, 0]), r"image 1 of a batch has shape \(2, 8, 8\)"),
            (np.zeros((2, 0, 8)), r"shape \(2, 0, 8\)"),
            (([[[0], [0, 1]]], [0]), "a list that is no array"),
            (torch.zeros(2, 8, 8).to_sparse(), "a Tensor that is no array"),
            (np.full((2, 8, 8), "dark"), "values of type <U4; expected"),
            (np.zeros((2, 8, 8), bool), "values of type bool; expected"),
            (None, r"shape \(\)"),
        ],
    )
    def test_what_is_no_image_is_refused(self, batch, message, tmp_path):
        with pytest.raises(InputError, match=message):
            write_images([batch], tmp_path / "images")


class TestLabels:
    @pytest.mark.parametrize(
        "labels",
        [
            [0, 1, 0, 7],
            [False, True, False, True],
            [0.0, 1.0, -0.0, 2.0],
            np.array([0, 255, 0, 1], np.uint8),
            np.array([[False], [True], [False], [True]]),
            torch.tensor([0, 1, 0, -1]),
            torch.tensor([0, 1, 0, 1], dtype=torch.bfloat16).requires_grad_(),
            [torch.tensor(0), torch.tensor(True), torch.tensor([0.0]), np.int64(3)],
        ],
    )
    def test_0_is_normal_and_any_other_whole_number_a_defect(self, labels):
        assert read_batch((GREY, labels))[1] == [False, True, False, True]

    def test_without_labels_all_are_normal(self):
        for batch in (GREY, [GREY], (GREY, None), {"image": GREY}):
            assert read_batch(batch)[1] == [False] * 4

    @pytest.mark.parametrize(
        ("label", "said"),
        [
            (float("nan"), "nan"),
            (float("inf"), "inf"),
            (0.5, "0.5"),
            (None, "None"),
            ("good", "'good'"),
            ("0", "'0'"),
            (1j, "1j"),
        ],
    )
    def test_what_is_no_whole_number_is_refused_by_name(self, label, said):
        for labels in ([0, 1, label, 0], np.array([0, 1, label, 0], object)):
            with pytest.raises(
                InputError, match=rf"label 2 of a batch is {said}; allowed are whole numbers and bools"
            ):
                read_batch((GREY, labels))

    def test_text_and_nan_of_numpy_and_torch_are_refused_too(self):
        for labels in (np.array(["good"] * 4), np.full(4, np.nan), torch.full((4,), torch.nan)):
            with pytest.raises(InputError, match="label 0 of a batch is"):
                read_batch({"image": GREY, "label": labels})
