"""Compiling a backbone: which parts, and that weights and features stay what they were."""

import pytest
import timm
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from teacher.backbones import TimmBackbone, TransformersBackbone
from teacher.compiled import compile_blocks


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = AutoConfig.for_model("dinov2", patch_size=14, image_size=56, **sizes)
    return TransformersBackbone(AutoModel.from_config(config), None, 8).eval()


@pytest.fixture
def eagerly(monkeypatch):
    """Traces what is compiled and runs it without a compiler, which a test machine may lack; counts the graphs."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compile_it = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_it(self, backend=backend))
    torch.compiler.reset()
    yield graphs
    torch.compiler.reset()


@torch.no_grad()
def test_all_blocks_of_a_transformer_share_one_compiled_graph(backbone, eagerly):
    image = torch.rand(2, 1, 56, 56)
    before, names = backbone(image), list(backbone.state_dict())
    compile_blocks(backbone)
    assert torch.equal(backbone(image), before)
    assert torch.equal(backbone(image), before)
    assert len(eagerly) == 1
    assert list(backbone.state_dict()) == names


@torch.no_grad()
def test_a_convolutional_network_gives_the_same_features_too(eagerly):
    net = timm.create_model("test_efficientnet", pretrained=False, features_only=True)
    backbone = TimmBackbone("test_efficientnet", None, 8).eval()
    backbone.net.load_state_dict(net.state_dict(), strict=False)
    image = torch.rand(1, 1, 64, 64)
    before = backbone(image)
    compile_blocks(backbone)
    assert torch.equal(backbone(image), before)
    assert eagerly
