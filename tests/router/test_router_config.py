"""The router section of the configuration refuses what cannot work."""

import pytest
from pydantic import ValidationError

from router.config import RouterConfig


def test_defaults_are_the_documented_ones() -> None:
    config = RouterConfig()
    assert (config.escalation_target, config.escalation_budget, config.flag_rate) == (
        0.065,
        [0.05, 0.08],
        0.05,
    )
    assert (config.costs.escape_usd, config.costs.false_reject_usd, config.costs.review_usd) == (
        12000,
        18000,
        5,
    )


def test_every_field_is_documented() -> None:
    for model in (RouterConfig, type(RouterConfig().costs)):
        assert all(field.description for field in model.model_fields.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"escalation_target": 0.1}, "inside escalation_budget"),
        ({"escalation_budget": [0.08, 0.05]}, "inside escalation_budget"),
        ({"escalation_budget": [0.05]}, "at least 2 items"),
        ({"flag_rate": 0.07}, "flag_rate must not exceed escalation_target"),
        ({"reject_rate": 0.06}, "reject_rate must not exceed flag_rate"),
        ({"full_weight": 1.5}, "full_weight"),
        ({"full_weight": "automatic"}, "full_weight"),
        ({"confidence": 1.0}, "confidence"),
        ({"flag_rate": "0.05"}, "flag_rate"),
        ({"escalation": 0.05}, "escalation"),
        ({"costs": {"review_usd": -1.0}}, "review_usd"),
    ],
)
def test_impossible_combinations_name_the_keys(change: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RouterConfig(**change)
