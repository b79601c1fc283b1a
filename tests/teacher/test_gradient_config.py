"""The gradient section of the configuration."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from teacher.gradient.config import GradientConfig, LoraConfig


def test_nothing_is_trained_unless_asked_for():
    config = GradientConfig()
    assert not config.uses_lora and not config.uses_decoder


@pytest.mark.parametrize(
    ("method", "lora", "decoder"),
    [("lora", True, False), ("decoder", False, True), ("lora+decoder", True, True)],
)
def test_a_method_names_its_parts(method, lora, decoder):
    config = GradientConfig(method=method)
    assert (config.uses_lora, config.uses_decoder) == (lora, decoder)


@pytest.mark.parametrize("values", [{"method": "qlora"}, {"lora": {"ranks": 4}}, {"seed": "0"}])
def test_unknown_keys_methods_and_types_are_refused(values):
    with pytest.raises(ValidationError):
        GradientConfig(**values)


def test_a_batch_must_divide_into_its_parts():
    with pytest.raises(ValidationError, match="batch_size=16 must be a multiple of gradient_accumulation=3"):
        LoraConfig(gradient_accumulation=3)


def test_every_key_is_described():
    from waferroute.config_fields import list_fields

    assert all(field.description for field in list_fields(GradientConfig))


def test_reading_the_configuration_does_not_wait_for_pytorch():
    code = "import sys, teacher.gradient.config; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"
