"""Adapters: which layers get them, how few numbers they are, and that merging leaves a plain backbone."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from teacher.backbones import Backbone, TimmBackbone, TransformersBackbone, rebuild
from teacher.gradient.config import LoraConfig
from teacher.gradient.lora import merge, target_layers, with_adapters
from training.tensors import load_tensors, save_tensors
from wafer_data.errors import InputError

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 64,
    "patch_size": 16,
}
IMAGES = torch.rand(2, 1, 256, 256, generator=torch.Generator().manual_seed(0))


def transformer(config_class=Dinov2Config, model_class=Dinov2Model, layers=None) -> TransformersBackbone:
    torch.manual_seed(0)
    return TransformersBackbone(model_class(config_class(**TINY)), layers, 16).requires_grad_(False).eval()


def timm_model(name: str) -> TimmBackbone:
    torch.manual_seed(0)
    return TimmBackbone(name, None, 16).requires_grad_(False).eval()


class OddBackbone(Backbone):
    """One 3x3 convolution, and a linear layer whose weight is read without calling the layer."""

    channels = 4

    def __init__(self):
        super().__init__(16, (0.5,) * 3, (0.5,) * 3)
        self.conv = nn.Conv2d(3, 4, 3, stride=16, padding=1)
        self.proj = nn.Linear(4, 4)

    def forward(self, image):
        maps = self.conv(self.normalise(image))
        return F.linear(maps.permute(0, 2, 3, 1), self.proj.weight).permute(0, 3, 1, 2)


def randomise(adapted) -> None:
    """Adapters start as zeros; give them an effect."""
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)


def test_transformers_adapt_attention_and_mlp():
    layers = target_layers(transformer(), None)
    assert {name.rsplit(".", 1)[-1] for name in layers} >= {"fc1", "fc2"}
    assert sum(".attention" in name for name in layers) == 3 * 4
    assert len(layers) == 3 * 6


def test_timm_transformers_adapt_attention_and_mlp():
    layers = target_layers(timm_model("test_vit"), None)
    assert {name.rsplit(".", 1)[-1] for name in layers} == {"qkv", "proj", "fc1", "fc2"}


def test_convolutional_networks_adapt_their_pointwise_convolutions():
    net = timm_model("test_efficientnet")
    layers = target_layers(net, None)
    assert layers
    assert all(net.get_submodule(name).kernel_size == (1, 1) for name in layers)


def test_layers_that_the_features_do_not_depend_on_are_left_alone():
    """Here the pooler, and every block behind the hidden layer that is used."""
    layers = target_layers(transformer(ViTConfig, ViTModel, layers=[1]), None)
    assert layers
    assert not [name for name in layers if "pooler" in name or ".layers.1." in name or ".layers.2." in name]


def test_target_modules_are_matched_by_the_end_of_their_name():
    assert target_layers(timm_model("test_vit"), ["blocks.0.attn.qkv"]) == ["net.model.blocks.0.attn.qkv"]


@pytest.mark.parametrize("wanted", [["fc9"], ["fc1", "fc9"]])
def test_an_unknown_target_names_what_the_backbone_has(wanted):
    with pytest.raises(InputError, match=r"target_modules.* no fc9; .*qkv \(3\)"):
        target_layers(timm_model("test_vit"), wanted)


def test_a_backbone_without_fitting_layers_names_what_it_has():
    with pytest.raises(InputError, match=r"no attention, MLP or 1x1 convolution layers; .*conv \(1\)$"):
        target_layers(OddBackbone(), None)


def test_a_layer_whose_adapter_would_be_passed_by_is_no_target():
    with pytest.raises(InputError, match="no proj"):
        target_layers(OddBackbone(), ["proj"])


def test_without_peft_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r'needs the package peft: run `pip install "waferroute\[train\]"`'):
        with_adapters(timm_model("test_vit"), LoraConfig())


def test_adapters_are_few_numbers_and_all_that_is_trained():
    net = timm_model("test_vit")
    whole = sum(p.numel() for p in net.parameters())
    expected = sum(2 * sum(net.get_submodule(n).weight.shape) for n in target_layers(net, None))
    adapted = with_adapters(net, LoraConfig(rank=2))
    trained = [(name, p) for name, p in adapted.named_parameters() if p.requires_grad]
    assert all("lora_" in name for name, _ in trained)
    assert sum(p.numel() for _, p in trained) == expected < 0.1 * whole


@pytest.mark.parametrize(
    "make", [transformer, lambda: timm_model("test_vit"), lambda: timm_model("test_efficientnet")]
)
@torch.no_grad()
def test_a_merged_backbone_gives_what_its_adapters_gave_in_the_plain_format(make, tmp_path):
    net = make()
    names, before = list(net.state_dict()), net(IMAGES)
    adapted = with_adapters(net, LoraConfig(rank=4, alpha=4))
    torch.testing.assert_close(adapted(IMAGES), before, rtol=0, atol=0)
    randomise(adapted)
    given = adapted(IMAGES)
    assert (given - before).abs().mean() > 1e-3
    merged = merge(adapted)
    torch.testing.assert_close(merged(IMAGES), given, rtol=1e-4, atol=1e-4)
    assert list(merged.state_dict()) == names
    assert not merged.training and not any(p.requires_grad for p in merged.parameters())

    save_tensors(merged.state_dict(), tmp_path / "backbone.safetensors")
    again = rebuild(merged.describe(), merged.map_size)
    again.load_state_dict(load_tensors(tmp_path / "backbone.safetensors"))
    assert torch.equal(again(IMAGES), merged(IMAGES))


def test_weights_that_are_not_finite_are_not_merged():
    adapted = with_adapters(timm_model("test_vit"), LoraConfig())
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.constant_(parameter, float("nan"))
    with pytest.raises(InputError, match=r"not finite.*teacher\.gradient\.lora\.learning_rate"):
        merge(adapted)
