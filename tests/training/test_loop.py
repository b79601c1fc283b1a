"""The loop: what a task gets, which weights stay, and that a killed training goes on to the same bits."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training import loop
from training.checkpoints import save_checkpoint
from training.loop import Part, Settings, Training, train
from training.tensors import load_tensors
from wafer_data.errors import InputError
from wafer_data.log import PACKAGES

ROOT = Path(__file__).parents[2]
DATA = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))


class Line(nn.Module):
    """Fits a line; half of its weights are frozen, and its noise comes from the inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 1)

    def forward(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        loss = (self.head(self.norm(self.frozen(x)) + noise)[:, 0] - x.sum(1)).square()
        return {"loss": loss, "large": loss[loss > 1]}


def training(task: nn.Module, **settings) -> tuple[Training, list[list[Part]]]:
    """A training of `task`, and the parts that its inputs were asked for."""
    generator, asked = torch.Generator().manual_seed(7), []

    def inputs(parts: list[Part]):
        asked.append(parts)
        for part in parts:
            drawn = 0.1 * torch.randn(len(part.rows), 3, generator=generator) if part.epoch is not None else 0
            yield DATA[part.rows], drawn + torch.zeros(len(part.rows), 3)

    chosen = {
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 0.05,
        "gradient_clip": 1.0,
        "ema": 0.8,
        **settings,
    }
    return Training(
        title="line",
        section="test.line",
        remedy="lower test.line.learning_rate",
        task=task,
        inputs=inputs,
        steps_of=lambda epoch: np.array_split(np.random.default_rng(epoch).permutation(20), 3),
        settings=Settings(**chosen),
        held_out=np.arange(20, 24),
        generator=generator,
    ), asked


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_same_bits_with_its_random_numbers(
    tmp_path, monkeypatch, killed_after
):
    unbroken, resumed = Line(), Line()
    rows = train(training(unbroken)[0], tmp_path / "unbroken")

    def die(folder, state):
        save_checkpoint(folder, state)
        if state.epochs_done == killed_after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_checkpoint", die)
        train(training(Line())[0], tmp_path / "killed")
    assert train(training(resumed)[0], tmp_path / "killed") == rows
    assert same(unbroken, resumed)
    files = [(tmp_path / d / "state.safetensors").read_bytes() for d in ("unbroken", "killed")]
    assert files[0] == files[1]


def test_without_the_generators_state_it_would_not(tmp_path, monkeypatch):
    """A control: the test above can fail."""
    unbroken, resumed = Line(), Line()
    train(training(unbroken)[0], tmp_path / "unbroken")

    def die(folder, state):
        save_checkpoint(folder, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_checkpoint", die)
        train(training(Line())[0], tmp_path / "killed")
    train(replace(training(resumed)[0], generator=None), tmp_path / "killed")
    assert not same(unbroken, resumed)


def test_a_part_knows_where_in_the_training_it_stands():
    described, asked = training(Line(), epochs=2, gradient_accumulation=2)
    train(described)
    first, judged, second, _ = asked
    assert [part.step for part in first] == [0, 0, 1, 1, 2, 2] and {
        part.steps for part in first + second
    } == {6}
    assert [part.step for part in second] == [3, 3, 4, 4, 5, 5] and {part.epoch for part in second} == {1}
    assert sorted(np.concatenate([part.rows for part in first])) == list(range(20))
    assert np.concatenate([part.rows for part in judged]).tolist() == [20, 21, 22, 23]
    assert all(part.epoch is None and part.step == part.steps for part in judged)


def test_frozen_weights_stay_and_are_not_written(tmp_path):
    task, before = Line(), Line()
    train(training(task)[0], tmp_path)
    assert torch.equal(task.frozen.weight, before.frozen.weight)
    assert not torch.equal(task.head.weight, before.head.weight)
    assert not any("frozen" in name for name in load_tensors(tmp_path / "state.safetensors"))


def test_losses_of_some_images_are_means_over_those():
    rows = train(training(Line(), epochs=1)[0])
    assert rows[0]["large"] > 1 and rows[0]["large"] > rows[0]["loss"]
    assert json.loads(json.dumps(rows)) == rows


def test_a_loss_that_is_no_number_stops_with_what_to_change():
    task = Line()
    nn.init.constant_(task.head.weight, float("nan"))
    with pytest.raises(InputError, match=r"loss of epoch 1 is nan; lower test\.line\.learning_rate and"):
        train(training(task)[0])


def test_nothing_else_in_the_product_trains_on_images():
    product = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    stepping = [
        path for path in product if re.search(r"optimi[sz]er\.step\(", path.read_text(encoding="utf-8"))
    ]
    # a logistic regression of cells held in memory, of seconds: no images to read, no epochs, nothing to resume
    of_cells = ROOT / "teacher" / "questions" / "painted.py"
    assert set(stepping) == {ROOT / "training" / "loop.py", of_cells}
