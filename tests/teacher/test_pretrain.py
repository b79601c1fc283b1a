"""Continued pretraining: what is hidden, what is minimised, what takes part, and resuming."""

import io
import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from teacher.backbones import build_backbone
from teacher.config import TeacherConfig
from teacher.pretrain.config import PretrainConfig
from teacher.pretrain.images import ArchiveImages, Images, block_mask
from teacher.pretrain.run import pretrain, pretrained_backbone
from teacher.pretrain.task import UNKNOWN, MaskedDistillation
from training import loop
from wafer_data.config import DataConfig
from wafer_data.errors import DataError
from wafer_data.shards import Item
from wafer_data.shards.parquet import write_parquet
from wafer_data.store import prepare_data

SETTINGS = {
    "enabled": True,
    "epochs": 2,
    "batch_size": 8,
    "mask_size": 16,
    "held_out": 0.1,
    "learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = timm.create_model("test_efficientnet", pretrained=False, features_only=True)
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    items = [_item(i, None) for i in range(40)]
    items += [_item(100 + i, {"label": 1, "type": "spot", "side": "test"}) for i in range(8)]
    write_parquet(root / "archive/a.parquet", items)
    config = DataConfig(
        format="shards",
        root=str(root / "archive"),
        labelled_defects_per_type=4,
        test_fraction=0.1,
    )
    return prepare_data(config.at_size(64), root / "data")


def _item(seed, about):
    random = np.random.default_rng(seed)
    grey = np.kron(random.normal(128, 40, (16, 16)), np.ones((4, 4))) + random.normal(0, 8, (64, 64))
    file = io.BytesIO()
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(file, "png")
    return Item(f"{seed:04}.png", file.getvalue(), None, about or {})


def _config(weights, **more):
    return TeacherConfig(
        backbone="file", model="test_efficientnet", weights=str(weights), map_size=8, directions=8,
        pretrain=PretrainConfig(**{**SETTINGS, **more}),
    )  # fmt: skip


@pytest.mark.parametrize(("ratio", "size"), [(0.25, 16), (0.6, 16), (0.5, 24)])
def test_blocks_hide_the_share_that_was_asked_for(ratio, size):
    config = PretrainConfig(mask_ratio=ratio, mask_size=size)
    masks = np.stack([block_mask(np.random.default_rng(seed), 64, config) for seed in range(200)])
    assert masks.shape == (200, 64, 64) and set(np.unique(masks)) == {0, 1}
    assert masks.mean() == pytest.approx(ratio, abs=0.06)
    assert (masks.mean(0) > 0).all(), "every pixel is hidden at times"
    assert all((mask[:size, :size] == mask[0, 0]).all() for mask in masks)


def test_an_unhidden_image_starts_without_loss_and_a_hidden_one_does_not(weights):
    torch.manual_seed(0)
    task = MaskedDistillation(build_backbone(_config(weights)), PretrainConfig(), kinds=0)
    images = torch.rand(4, 1, 64, 64)
    task.standardise([images])
    task.train()
    nothing = torch.zeros(4, 1, 64, 64)
    unknown = torch.full((4,), UNKNOWN)
    assert task(images, nothing, unknown)["loss"].abs().max() < 1e-6
    hidden = task(images, torch.ones_like(nothing), unknown)
    assert (hidden["masked"] > 0.01).all() and hidden["visible"].abs().max() < 1e-6
    task(images, torch.ones_like(nothing), unknown)["loss"].mean().backward()
    moved = {name for name, p in task.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(name.startswith("backbone.") for name in moved) and "hidden" in moved
    assert not any(name.startswith("target.") for name in moved)


def test_labels_count_only_where_they_are_known(weights):
    task = MaskedDistillation(build_backbone(_config(weights)), PretrainConfig(label_weight=1.0), kinds=3)
    images, mask = torch.rand(3, 1, 64, 64), torch.zeros(3, 1, 64, 64)
    losses = task(images, mask, torch.tensor([UNKNOWN, 2, 0]))
    assert losses["label"].shape == (2,)
    assert losses["loss"][0] == losses["masked"][0] + losses["visible"][0]
    assert losses["loss"][1] > losses["masked"][1] + losses["visible"][1]
    assert len(task(images, mask, torch.full((3,), UNKNOWN))["label"]) == 0


def test_archives_take_part_but_their_test_images_and_damaged_ones_do_not(tmp_path, store):
    items = [_item(500 + i, {"layer": "M2"}) for i in range(6)] + [Item("damaged", b"x")]
    items += [_item(600, {"label": 1, "type": "spot", "side": "test"})]
    write_parquet(tmp_path / "more/x.parquet", items)
    archive = ArchiveImages(str(tmp_path / "more"), tmp_path / "work", 64)
    images = Images(store, [archive])
    own = len(store.indices("train"))
    assert len(archive) == 6 and len(images) == own + 6
    assert images.kinds == ["good", "spot"] and images.label(own) == UNKNOWN
    assert {images.label(row) for row in range(own)} == {0, 1}
    assert (images.grey(own + 2) == archive.grey(2)).all() and images.grey(0).shape == (64, 64)


def test_what_is_drawn_depends_on_seed_epoch_and_row_alone(store):
    images, config = Images(store, []), PretrainConfig()
    part = loop.Part(np.array([3, 5, 9]), 0, 10, 1)
    alone = loop.Part(np.array([5]), 7, 10, 1)
    first = next(iter(images.inputs([part], config, 0)))
    again = next(iter(images.inputs([alone], config, 0)))
    assert all((a[1] == b[0]).all() for a, b in zip(first, again, strict=True))
    other = next(iter(images.inputs([part._replace(epoch=2)], config, 0)))
    assert not (first[1] == other[1]).all()


def test_training_lowers_the_loss_and_the_weights_are_those_that_adapt_gets(tmp_path, weights, store):
    pretrain(_config(weights, epochs=4), store, tmp_path / "out")
    about = json.loads((tmp_path / "out/backbone.json").read_text())
    losses = [row["held_out_loss"] for row in about["history"]]
    assert min(losses) < 0.9 * losses[0] and about["history"][0]["images_per_second"] > 0
    assert about["kinds"] == ["good", "spot"] and about["own"] == len(store.indices("train"))
    before, after = build_backbone(_config(weights)), pretrained_backbone(_config(weights), tmp_path / "out")
    saved = load_file(tmp_path / "out/backbone.safetensors")
    assert all((after.state_dict()[name] == tensor).all() for name, tensor in saved.items())
    assert any((before.state_dict()[n] != t).any() for n, t in saved.items())
    assert all((before.state_dict()[n] == t).all() for n, t in saved.items() if "running" in n)
    assert not after.training and not any(p.requires_grad for p in after.parameters())


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, weights, store, monkeypatch):
    pretrain(_config(weights, epochs=3), store, tmp_path / "whole")
    save, saved = loop.save_checkpoint, []

    def stop_at_second(folder, state):
        save(folder, state)
        saved.append(state.epochs_done)
        if saved == [1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        pretrain(_config(weights, epochs=3), store, tmp_path / "killed")
    pretrain(_config(weights, epochs=3), store, tmp_path / "killed")
    assert saved == [1, 2, 3]
    one, other = (load_file(tmp_path / name / "backbone.safetensors") for name in ("whole", "killed"))
    assert all((one[name] == other[name]).all() for name in one)


def test_gradient_checkpointing_changes_nothing_but_memory(tmp_path, weights, store):
    for name, value in (("plain", False), ("checkpointed", True)):
        pretrain(_config(weights, epochs=1, gradient_checkpointing=value), store, tmp_path / name)
    one, other = (load_file(tmp_path / name / "backbone.safetensors") for name in ("plain", "checkpointed"))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


def test_weights_of_another_backbone_are_refused(tmp_path, weights, store):
    pretrain(_config(weights, epochs=1), store, tmp_path / "out")
    other = _config(weights).model_copy(update={"layers": [2]})
    with pytest.raises(DataError, match="of another backbone"):
        pretrained_backbone(other, tmp_path / "out")
