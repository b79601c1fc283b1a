"""The data section: documented, strict, and impossible combinations named by their keys."""

import pytest
from pydantic import ValidationError

from wafer_data.config import DataConfig


def test_the_demo_needs_one_key_only() -> None:
    config = DataConfig(format="elpv")
    assert (config.elpv_cells, config.image_size, config.seed) == ("mono", 256, 0)
    assert config.max_pixels == 64_000_000


def test_every_field_is_documented() -> None:
    assert all(field.description for field in DataConfig.model_fields.values())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "format"),
        ({"format": "coco"}, "'mvtec', 'folder', 'elpv' or 'shards'"),
        ({"format": "elpv", "hue": True}, "hue"),
        ({"format": "elpv", "seed": "1"}, "valid integer"),
        ({"format": "elpv", "skip_bad_images": 1}, "valid boolean"),
        ({"format": "mvtec"}, "format=mvtec needs root"),
        ({"format": "folder"}, "format=folder needs root"),
        ({"format": "folder", "root": ""}, "format=folder needs root"),
        ({"format": "mvtec", "root": "a", "defects": "b"}, "defects goes with format=folder only"),
        ({"format": "elpv", "defects": "b"}, "defects goes with format=folder only"),
        ({"format": "elpv", "calibration_fraction": 0.0}, "calibration_fraction must lie between 0 and 1"),
        ({"format": "elpv", "test_fraction": 1.0}, "test_fraction must lie between 0 and 1"),
        ({"format": "elpv", "labelled_defects_per_type": -1}, "greater than or equal to 0"),
        ({"format": "elpv", "expected_size": [300]}, "expected_size must be"),
        ({"format": "elpv", "expected_size": [8, 300]}, "below min_side"),
        ({"format": "elpv", "expected_size": [9000, 9000]}, "exceeds max_megapixels"),
        ({"format": "elpv", "max_megapixels": 500}, "less than or equal to 178"),
    ],
)
def test_impossible_values_are_refused_with_a_sentence(values: dict, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DataConfig(**values)
    assert said in str(caught.value)


def test_it_cannot_be_changed_afterwards() -> None:
    config = DataConfig(format="elpv")
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1  # type: ignore[misc]
