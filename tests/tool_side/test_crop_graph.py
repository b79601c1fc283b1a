"""The backbone's look at crops: the graph says what PyTorch says, and only for networks that it can write."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classify.crops import SIDE
from teacher.backbones import Backbone, TimmBackbone
from tool_side.export.crop_graph import LOOKED_AT, STRIDES, crop_graph
from tool_side.export.write import to_bytes
from tool_side.runtime.session import CropGraph


def lite(name: str = "tf_efficientnet_lite0", mean: tuple[float, ...] = (0.5, 0.4, 0.3)) -> TimmBackbone:
    """A network with random weights, and normalisations that a training would have left."""
    torch.manual_seed(0)
    net = TimmBackbone(name, None, 32, (mean, (0.5, 0.4, 0.6)))
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean = torch.randn_like(part.bias) * 0.1
            part.running_var = torch.rand_like(part.bias) + 0.5
    return net.eval()


def crops(channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).random((3, channels, SIDE, SIDE)).astype(np.float32)


@torch.inference_mode()
def by_torch(backbone: TimmBackbone, images: np.ndarray) -> np.ndarray:
    """The same by timm's own network, hooked at its stages."""
    maps: dict[str, Tensor] = {}
    wanted = {info["module"] for info in backbone.net.feature_info.info if info["reduction"] in STRIDES}
    hooks = [
        backbone.net.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: maps.update({name: out})
        )
        for name in wanted
    ]
    size = (LOOKED_AT, LOOKED_AT)
    shown = F.interpolate(torch.from_numpy(images), size=size, mode="bilinear", align_corners=False)
    backbone.net(backbone.normalise(shown))
    for hook in hooks:
        hook.remove()
    parts = []
    for name in sorted(maps):
        plane = maps[name]
        half, reach = plane.shape[-1] // 2, plane.shape[-1] // 8
        middle = plane[..., half - reach : half + reach, half - reach : half + reach]
        parts += [plane.mean((2, 3)), plane.amax((2, 3)), middle.mean((2, 3))]
    found: np.ndarray = torch.cat(parts, 1).numpy()
    return found


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "efficientnet_lite0", "mobilenetv2_050"])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_what_pytorch_computes(name: str, channels: int) -> None:
    backbone, shown = lite(name), crops(channels)
    model = crop_graph(backbone, channels)
    assert model is not None
    found, expected = CropGraph("crops", to_bytes(model), 1)(shown), by_torch(backbone, shown)
    np.testing.assert_allclose(found, expected, atol=2e-4 * float(np.abs(expected).max()))


def test_an_image_is_the_same_to_the_last_bit_whatever_is_beside_it() -> None:
    model = crop_graph(lite())
    assert model is not None
    look, shown = CropGraph("crops", to_bytes(model), 1), crops()
    np.testing.assert_array_equal(look(shown)[1], look(shown[1:2])[0])


def test_the_same_network_gives_the_same_bytes() -> None:
    one, two = (crop_graph(lite()) for _ in range(2))
    assert one is not None and two is not None and to_bytes(one) == to_bytes(two)


class Plain(Backbone):
    """No network of timm at all."""


@pytest.mark.parametrize(
    "backbone",
    [
        lambda: lite("efficientnet_b0"),  # squeezes and excites
        lambda: lite("resnet18"),
        lambda: Plain(32, (0.5,) * 3, (0.5,) * 3),
    ],
)
def test_other_networks_have_no_graph(backbone: Callable[[], Backbone]) -> None:
    assert crop_graph(backbone()) is None
