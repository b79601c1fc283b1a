"""Adapting a backbone on synthetic anomalies: what a cell counts as, what the loss weighs, and that it trains."""

import csv
import json

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Dinov2Config, Dinov2Model

from teacher.backbones import TransformersBackbone, build_backbone
from teacher.gradient import adapt_by_gradient, train
from teacher.gradient.anomaly_task import balanced_focal
from teacher.gradient.config import GradientConfig, LoraConfig
from teacher.gradient.examples import ANOMALOUS, NORMAL, UNDECIDED, Examples, cell_labels, load
from training import loop
from training.checkpoints import save_checkpoint
from wafer_data.errors import InputError

EPOCHS = 3


def configuration(**more) -> GradientConfig:
    lora = {"epochs": EPOCHS, "images_per_epoch": 16, "batch_size": 4, "learning_rate": 5e-3, "rank": 4}
    return GradientConfig(method="lora", lora=LoraConfig(**{"ema": 0.5, "held_out": 0.2, **lora, **more}))


@pytest.fixture(scope="module")
def adapt(tiny_teacher_config, tiny_store):
    """Adapts the tiny backbone to the synthetic set."""

    def run(work, **more):
        return adapt_by_gradient(build_backbone(tiny_teacher_config), tiny_store, configuration(**more), work)

    return run


@pytest.fixture(scope="module")
def adapted(adapt, tmp_path_factory):
    """An adapted backbone and the folder of its training."""
    work = tmp_path_factory.mktemp("gradient")
    return adapt(work), work


def same_weights(a, b) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_anomaly_has_a_cell_and_normal_cells_do_not_touch_one(data):
    side = data.draw(st.sampled_from([16, 32, 40]))
    top, left, height, width = (data.draw(st.integers(0, 38)) for _ in range(4))
    mask = torch.zeros(2, 1, 40, 40)
    mask[0, :, top : top + height + 1, left : left + width + 1] = 1
    labels = cell_labels(mask, side)
    covered = torch.nn.functional.adaptive_avg_pool2d(mask, side)[:, 0]
    assert (labels[0] == ANOMALOUS).any()
    assert (covered[labels == NORMAL] == 0).all()
    assert (labels[covered >= 0.25] == ANOMALOUS).all()
    assert (labels[1] == NORMAL).all()


def test_a_cell_beside_an_anomaly_is_undecided():
    mask = torch.zeros(1, 1, 32, 32)
    mask[0, 0, 8:12, 8:12] = 1
    labels = cell_labels(mask, 8)[0]
    assert labels[2, 2] == ANOMALOUS
    assert (labels[1:4, 1:4] == UNDECIDED).sum() == 8
    assert (labels == NORMAL).sum() == 64 - 9


def test_a_small_anomaly_weighs_as_much_as_a_large_one():
    logits = torch.zeros(2, 8, 8)
    labels = torch.zeros(2, 8, 8, dtype=torch.int8)
    labels[0, 0, 0] = labels[1, :4] = ANOMALOUS
    small, large = balanced_focal(logits, labels, gamma=2.0)
    assert small == pytest.approx(large.item()) == pytest.approx(0.25 * np.log(2))


def test_undecided_cells_do_not_count():
    labels = torch.zeros(1, 8, 8, dtype=torch.int8)
    labels[0, 0] = UNDECIDED
    logits = torch.zeros(1, 8, 8)
    logits[0, 0] = 50.0
    assert balanced_focal(logits, labels, 0.0).item() == pytest.approx(0.5 * np.log(2))


def test_the_loss_falls_also_on_held_out_images(adapted):
    _, work = adapted
    rows = list(csv.DictReader((work / "lora" / "losses.csv").open()))
    assert len(rows) == EPOCHS
    for name in ("detection", "held_out_detection"):
        assert float(rows[-1][name]) < float(rows[0][name])


def test_only_the_adapted_layers_change_and_they_are_listed(adapted, tiny_teacher_config):
    backbone, work = adapted
    about = json.loads((work / "lora" / "lora.json").read_text())
    before = build_backbone(tiny_teacher_config).state_dict()
    changed = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{name}.weight" for name in about["modules"]}
    assert 0 < about["trained_parameters"] < 0.2 * sum(p.numel() for p in backbone.parameters())
    assert not backbone.training and not any(p.requires_grad for p in backbone.parameters())


def test_a_transformer_trains_in_bfloat16_too(tiny_store, tmp_path, monkeypatch):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = Dinov2Model(Dinov2Config(**shape, image_size=64, patch_size=16))
    backbone = TransformersBackbone(model, None, 16).requires_grad_(False).eval()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    options = {"cpu": True, "mixed_precision": "bf16"}  # without a GPU only a test asks for it
    monkeypatch.setattr(train, "Accelerator", lambda mixed_precision: Accelerator(**options))
    adapted = adapt_by_gradient(backbone, tiny_store, configuration(epochs=1), tmp_path)
    about = json.loads((tmp_path / "lora" / "lora.json").read_text())
    changed = {name for name, value in adapted.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{name}.weight" for name in about["modules"]} and len(changed) == 2 * 6
    assert all(value.dtype == before[name].dtype for name, value in adapted.state_dict().items())


def test_a_strong_penalty_keeps_normal_features_closer(adapt, adapted, tmp_path):
    adapt(tmp_path, preservation=100.0)

    def change(work):
        return json.loads((work / "lora" / "lora.json").read_text())["history"][-1]["held_out_preservation"]

    assert change(tmp_path) < change(adapted[1])


def test_a_killed_training_goes_on_to_the_same_bits(adapt, adapted, tmp_path, monkeypatch):
    def save_and_die(folder, state):
        save_checkpoint(folder, state)
        if state.epochs_done == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            adapt(tmp_path)
    resumed = adapt(tmp_path)
    assert same_weights(resumed, adapted[0])
    assert (tmp_path / "lora/losses.csv").read_bytes() == (adapted[1] / "lora/losses.csv").read_bytes()


def test_work_of_another_configuration_is_not_gone_on_with(adapt, tmp_path):
    first = adapt(tmp_path, epochs=1)
    assert not same_weights(adapt(tmp_path, epochs=1, preservation=7.0), first)
    assert same_weights(adapt(tmp_path, epochs=1), first)


def test_accumulated_gradients_are_those_of_the_whole_batch(adapt, tmp_path):
    whole, parts = (adapt(tmp_path / str(n), epochs=1, gradient_accumulation=n) for n in (1, 4))
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-4)


def test_it_stops_when_held_out_images_gain_nothing(adapt, tmp_path):
    adapt(tmp_path, epochs=8, early_stopping=1, learning_rate=1e-12, ema=0.0)
    history = json.loads((tmp_path / "lora" / "lora.json").read_text())["history"]
    assert len(history) < 8


def test_workers_make_the_same_images(tiny_store):
    normals = tiny_store.indices("train", label=0)
    parts = [np.array([3, 1]), np.array([0]), np.array([2, 5])]
    examples = Examples(tiny_store, normals, parts, 0, LoraConfig(), 16, 0)
    for alone, helped in zip(load(examples, 0), load(examples, 2), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


def test_each_epoch_has_images_of_its_own_and_the_held_out_ones_stay(tiny_store):
    normals = tiny_store.indices("train", label=0)

    def images(epoch):
        return Examples(tiny_store, normals, [np.array([0, 1])], epoch, LoraConfig(), 16, 0)[0][0]

    assert not torch.equal(images(0), images(1))
    assert torch.equal(images(None), images(None))


def test_the_callers_generator_and_later_precisions_are_left_alone(tiny_teacher_config, tiny_store, tmp_path):
    backbone = build_backbone(tiny_teacher_config)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    adapt_by_gradient(backbone, tiny_store, configuration(epochs=1), tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert Accelerator(cpu=True, mixed_precision="bf16").mixed_precision == "bf16"
    AcceleratorState._reset_state()


def test_a_loss_that_is_not_finite_stops_with_advice(tiny_teacher_config, tiny_store, tmp_path):
    backbone = build_backbone(tiny_teacher_config)
    next(iter(backbone.parameters())).fill_(float("nan"))
    with pytest.raises(InputError, match=r"epoch 1 is nan; lower teacher\.gradient\.lora\.learning_rate"):
        adapt_by_gradient(backbone, tiny_store, configuration(epochs=1), tmp_path)


def test_one_image_is_too_few(tiny_teacher_config, tiny_store, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_store, "indices", lambda *_args, **_more: np.array([0]))
    with pytest.raises(InputError, match="1 training normals"):
        adapt_by_gradient(build_backbone(tiny_teacher_config), tiny_store, configuration(), tmp_path)


def test_without_a_method_the_backbone_is_returned_as_it_is(tiny_store, tmp_path):
    backbone = object()
    for method in ("none", "decoder"):
        config = GradientConfig(method=method)
        assert adapt_by_gradient(backbone, tiny_store, config, tmp_path) is backbone
    assert list(tmp_path.iterdir()) == []
