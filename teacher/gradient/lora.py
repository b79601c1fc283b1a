"""Low-rank adapters on a backbone: which layers get them, and how they become plain weights again.

LoRA (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models") adds B A x * alpha / rank to the output
W x of a layer; W stays frozen, B starts at zero. After the training W + B A * alpha / rank replaces W, so that an
adapted backbone has the architecture, the size and the file format of the one it came from.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from teacher.backbones import Backbone
from teacher.gradient.config import LoraConfig
from wafer_data.errors import InputError

if TYPE_CHECKING:
    from peft import PeftModel

# The last parts of the names that attention and MLP layers have in timm and transformers.
TRANSFORMER_LAYERS = (
    *("qkv", "q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "proj", "query", "key", "value", "dense"),
    *("fc1", "fc2", "up_proj", "down_proj", "gate_proj", "weights_in", "weights_out"),
)


def with_adapters(backbone: Backbone, config: LoraConfig) -> PeftModel:
    """The backbone, changed in place, with an untrained adapter on each target layer; the rest is frozen.

    Initial weights are drawn from torch's generator.

    Raises:
        InputError: peft is not installed, or no layer of the configuration can be adapted.
    """
    try:
        from peft import LoraConfig as PeftConfig
        from peft import get_peft_model
    except ImportError as error:
        raise InputError(
            'teacher.gradient.method with lora needs the package peft: run `pip install "waferroute[train]"` '
            "or set teacher.gradient.method=none"
        ) from error
    settings = PeftConfig(
        r=config.rank, lora_alpha=config.alpha, target_modules=target_layers(backbone, config.target_modules)
    )
    return get_peft_model(backbone, settings)


def merge(adapted: PeftModel) -> Backbone:
    """The backbone with its adapters merged into its weights: frozen, in evaluation mode.

    Raises:
        InputError: a merged weight is not finite.
    """
    try:
        backbone: Any = adapted.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise InputError(
            f"adapted weights are not finite ({error}); lower teacher.gradient.lora.learning_rate"
        ) from error
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    return backbone.eval()


def target_layers(backbone: Backbone, wanted: list[str] | None) -> list[str]:
    """Full names of the layers to adapt: linear layers and ungrouped convolutions that the features depend on.

    Args:
        wanted: ends of names, such as `qkv` or `blocks.3.0.conv_pw`; None: see `LoraConfig.target_modules`.

    Raises:
        InputError: nothing matches; the message names the layers that there are.
    """
    layers = _adaptable(backbone)
    if wanted is None:
        chosen = [n for n, m in layers.items() if isinstance(m, nn.Linear) and _ends(n, TRANSFORMER_LAYERS)]
        chosen = chosen or [
            n for n, m in layers.items() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)
        ]
        unknown = [] if chosen else ["attention, MLP or 1x1 convolution layers"]
    else:
        chosen = [name for name in layers if _ends(name, wanted)]
        unknown = [end for end in wanted if not any(_ends(name, [end]) for name in layers)]
    if unknown or not chosen:
        raise InputError(
            f"teacher.gradient.lora.target_modules: the backbone has no {', '.join(unknown) or 'such layer'}; "
            f"its layers that can be adapted are called {_candidates(layers)}"
        )
    return chosen


def _adaptable(backbone: Backbone) -> dict[str, nn.Module]:
    """Layers an adapter fits on and has an effect on, by name.

    One image is passed through: a pooler behind the features would never get a gradient, and where a model reads a
    layer's weight without calling the layer, an adapter on it would be passed by.
    """
    layers: dict[str, Any] = {
        name: module
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    }
    if not layers:
        return {}
    called: set[nn.Module] = set()
    hooks = [module.register_forward_hook(lambda m, *_: called.add(m)) for module in layers.values()]
    weights = [module.weight for module in layers.values()]
    before = [weight.requires_grad for weight in weights]
    for weight in weights:
        weight.requires_grad_(True)
    try:
        with torch.enable_grad():
            total = backbone(torch.full((1, 1, 256, 256), 0.5, device=weights[0].device)).sum()
            gradients = torch.autograd.grad(total, weights, allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
        for weight, flag in zip(weights, before, strict=True):
            weight.requires_grad_(flag)
    return {
        name: module
        for (name, module), gradient in zip(layers.items(), gradients, strict=True)
        if gradient is not None and module in called
    }


def _ends(name: str, ends: Iterable[str]) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in ends)


def _candidates(layers: dict[str, nn.Module]) -> str:
    counts = collections.Counter(name.rsplit(".", 1)[-1] for name in layers)
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common(12)) or "(none)"
