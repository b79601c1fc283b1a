"""Which pictures show the same part."""

import pytest

from classify.parts import parts_of
from wafer_data.errors import ConfigurationError, InputError


def test_what_the_pattern_finds_is_the_part() -> None:
    assert parts_of(["w1_a.png", "w2_a.png", "w1_b.png"], r"(w\d+)_") == [0, 1, 0]


def test_running_numbers_without_a_large_step_are_one_part() -> None:
    names = [f"exp{i}_num_{number}.jpg" for i, number in enumerate([1000, 5000, 1100, 1250, 5201])]
    assert parts_of(names, r"num_(\d+)", 200) == [0, 1, 0, 0, 2]


def test_no_names_have_no_parts() -> None:
    assert parts_of([], r"(\d+)", 5) == []


@pytest.mark.parametrize(
    ("pattern", "gap", "kind", "words"),
    [
        ("(", 0, ConfigurationError, "regular"),
        ("x", 0, InputError, "a.png"),
        ("a", 3, InputError, "whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(pattern: str, gap: int, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        parts_of(["a.png"], pattern, gap)
