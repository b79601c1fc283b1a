"""Unknown defects are grouped by what they look like."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from classify.group import group_unknown
from classify.learn import learn_types
from wafer_data.errors import DataError


def test_two_new_types_are_two_groups(draw: Callable[..., Any]) -> None:
    model = learn_types(*draw(dict.fromkeys("abc", 40)))
    values, labels = draw({"h": 30, "k": 20}, seed=1, apart=14.0)
    found = group_unknown(model.whitened(values))
    assert found.count == 2
    for group, name in ((0, "h"), (1, "k")):  # the largest first
        members = np.array(labels)[found.groups == group]
        assert len(members) > 14 and np.mean(members == name) > 0.95


def test_the_members_of_a_group_stand_together_and_strays_last(draw: Callable[..., Any]) -> None:
    model = learn_types(*draw(dict.fromkeys("abc", 40)))
    found = group_unknown(model.whitened(draw({"h": 30, "k": 20}, seed=1, apart=14.0)[0]))
    ordered = found.groups[found.order]
    assert sorted(found.order) == list(range(50))
    assert [g for i, g in enumerate(ordered) if i == 0 or ordered[i - 1] != g] in ([0, 1], [0, 1, -1])


@pytest.mark.parametrize("values", [np.zeros((4, 3)), np.full((9, 3), np.nan)])
def test_what_cannot_be_grouped_is_refused(values: np.ndarray) -> None:
    with pytest.raises(DataError):
        group_unknown(values)
