"""Every process and micro-batch has an image in every step, or the training is refused."""

import pytest

from distill.batches import check_split
from wafer_data.errors import InputError


def test_a_process_without_an_image_is_refused_with_what_to_change():
    check_split("full", 40, 8, 2, 2)
    with pytest.raises(
        InputError, match=r"distill\.full\.batch_size=8.*3 processes with 4 micro-batches.*to 24"
    ):
        check_split("full", 40, 8, 4, 3)
