"""Adapting the teacher by gradient descent: LoRA on the backbone, and a decoder that reconstructs normal features.

Both come before the closed-form fit of the likelihood, and both are off unless `teacher.gradient.method` asks for
them. Names are imported when they are first used: reading a configuration must not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teacher.gradient.adapt import adapt_by_gradient
    from teacher.gradient.config import GradientConfig
    from teacher.gradient.decoder import BottleneckDecoder, load_decoder, rebuild_decoder, save_decoder
    from teacher.gradient.decoder_fit import DecoderFit, fit_decoder

_HOMES = {
    "BottleneckDecoder": "teacher.gradient.decoder",
    "DecoderFit": "teacher.gradient.decoder_fit",
    "GradientConfig": "teacher.gradient.config",
    "adapt_by_gradient": "teacher.gradient.adapt",
    "fit_decoder": "teacher.gradient.decoder_fit",
    "load_decoder": "teacher.gradient.decoder",
    "rebuild_decoder": "teacher.gradient.decoder",
    "save_decoder": "teacher.gradient.decoder",
}

__all__ = [
    "BottleneckDecoder",
    "DecoderFit",
    "GradientConfig",
    "adapt_by_gradient",
    "fit_decoder",
    "load_decoder",
    "rebuild_decoder",
    "save_decoder",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
