"""Images of a DataLoader in colour: every bit of them arrives."""

from pathlib import Path

import numpy as np
import pytest

from wafer_data.imaging.read import read_grey, read_image
from waferroute.loader_images import write_images

DEEP = np.random.default_rng(0).integers(0, 65536, (2, 3, 32, 40), dtype=np.uint16)


@pytest.mark.parametrize("form", ["uint8", "uint16", "float32"])
def test_colour_stays_where_it_is_asked_for(form: str, tmp_path: Path) -> None:
    expected = (DEEP >> 8).astype(np.uint8) if form == "uint8" else DEEP
    given = (DEEP / 65535).astype(np.float32) if form == "float32" else expected
    folder, _ = write_images([given], tmp_path / "images", colour=True)
    for i, path in enumerate(sorted(folder.iterdir())):
        np.testing.assert_array_equal(read_image(path, colour=True), expected[i].transpose(1, 2, 0))


def test_else_deep_images_become_grey(tmp_path: Path) -> None:
    folder, _ = write_images([DEEP], tmp_path / "images")
    (first, _) = sorted(folder.iterdir())
    found = read_image(first, colour=True)
    assert (found[:, :, 0] == found[:, :, 2]).all() and read_grey(first).dtype == np.uint16
