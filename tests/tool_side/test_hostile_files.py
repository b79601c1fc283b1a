"""Whatever the bytes are, the inspector answers; and what is no image never passes."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tool_side import Inspector

Wafer = Callable[..., np.ndarray]
STARTS = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00\x08\x00\x00\x00",
    b"GIF89a",
]
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Pillow warns about broken TIFF files.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@given(st.sampled_from(STARTS), st.binary(max_size=400))
@quick
def test_noise_is_review_with_a_reason(inspector: Inspector, start: bytes, noise: bytes) -> None:
    result = inspector.inspect(start + noise)
    assert (result.decision, result.route, result.unreadable) == ("REVIEW", "none", True)
    assert result.reasons[0].startswith("the image cannot be read: ")


@pytest.fixture(scope="module")
def files(wafer: Wafer) -> list[bytes]:
    """A good wafer in every format."""
    found = []
    for image_format in ("PNG", "JPEG", "BMP", "TIFF"):
        buffer = io.BytesIO()
        Image.fromarray(wafer(1)).save(buffer, image_format)
        found.append(buffer.getvalue())
    return found


@given(st.data())
@quick
def test_a_part_of_a_good_image_never_passes(
    inspector: Inspector, files: list[bytes], data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from(files))
    assert inspector.inspect(whole).decision == "PASS"
    part = whole[: data.draw(st.integers(0, len(whole) - 3))]
    assert inspector.inspect(part).decision == "REVIEW"


@given(st.data())
@quick
def test_a_png_that_was_changed_anywhere_never_passes(
    inspector: Inspector, files: list[bytes], data: st.DataObject
) -> None:
    png = bytearray(files[0])
    png[data.draw(st.integers(0, len(png) - 1))] ^= data.draw(st.integers(1, 255))
    assert inspector.inspect(bytes(png)).decision == "REVIEW"
