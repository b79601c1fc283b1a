"""The training loop: accumulation, averaged weights, early stopping, and resuming with all of them to the bit."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from distill.config import StageConfig
from distill.imitation import SURE, UNKNOWN, Imitation, defective_cells, imitation_training
from distill.stages import run_stage
from distill.targets import CachedTargets
from tests.conftest import tiny_distill_config
from tests.distill.toy import DIRECTIONS, MAP, copy_of_state, normalised_model, plain_model, toy_task, train
from training import loop
from training.average import WeightAverage
from training.batches import hold_out
from training.early_stopping import EarlyStopping
from training.processes import OneProcess
from training.tensors import load_tensors
from wafer_data.errors import InputError
from wafer_data.store import ImageStore

EVERYTHING = {"ema": 0.9, "early_stopping": 3, "held_out": 0.2, "gradient_accumulation": 2, "epochs": 5}


def distance(one: dict, other: dict) -> float:
    return max(float((one[k] - other[k]).abs().max()) for k in one)


class TestAccumulation:
    @pytest.mark.parametrize("accumulation", [2, 3, 8])
    def test_micro_batches_give_the_gradient_of_the_whole_batch(self, tmp_path, accumulation):
        whole, parts = plain_model(), plain_model()
        train(toy_task(whole, epochs=1), tmp_path / "whole")
        train(toy_task(parts, epochs=1, gradient_accumulation=accumulation), tmp_path / "parts")
        assert distance(whole.state_dict(), plain_model().state_dict()) > 1e-3  # it did learn
        assert distance(whole.state_dict(), parts.state_dict()) < 1e-6

    def test_with_batch_normalisation_the_loss_curve_stays_close(self, tmp_path):
        """Statistics of 4 images in place of 8: 256 instead of 512 values a channel, each about 6 % off instead of
        4 %, which the losses inherit in part."""
        whole = train(toy_task(normalised_model()), tmp_path / "whole")
        parts = train(toy_task(normalised_model(), gradient_accumulation=2), tmp_path / "parts")
        for one, other in zip(whole, parts, strict=True):
            assert other["distill"] == pytest.approx(one["distill"], rel=0.05)

    def test_more_micro_batches_than_images_are_refused(self):
        with pytest.raises(ValueError, match="gradient_accumulation=9 cannot be larger than batch_size=8"):
            StageConfig(batch_size=8, gradient_accumulation=9)

    def test_a_pool_smaller_than_a_batch_is_one_batch(self, tmp_path):
        rows = train(toy_task(plain_model(), images=6, epochs=1), tmp_path)
        assert np.isfinite(rows[0]["distill"])


class TestWeightAverage:
    def test_is_the_moving_average_of_the_weights_after_each_step(self):
        model = torch.nn.Linear(1, 1, bias=False)
        average = WeightAverage(model, 0.75)
        expected = model.weight.item()
        for step, value in enumerate([1.0, -2.0, 5.0, 0.5]):
            torch.nn.init.constant_(model.weight, value)
            average.update(model, step)
            decay = min(0.75, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * value
        assert float(average.tensors["weight"]) == pytest.approx(expected, rel=1e-6)

    def test_counts_are_taken_over_and_running_statistics_averaged(self):
        model = torch.nn.BatchNorm2d(2)
        average = WeightAverage(model, 0.5)
        model.running_mean.fill_(1.0)
        model.num_batches_tracked.fill_(7)
        average.update(model, step=1000)
        assert average.tensors["num_batches_tracked"] == 7
        assert average.tensors["running_mean"].tolist() == [0.5, 0.5]

    def test_a_model_gets_its_own_weights_back(self):
        model = normalised_model()
        average = WeightAverage(model, 0.9)
        own = copy_of_state(model)
        average.tensors["0.weight"].zero_()
        with average.in_place_of(model):
            assert model.state_dict()["0.weight"].abs().max() == 0
        assert all(torch.equal(model.state_dict()[k], own[k]) for k in own)

    def test_is_what_a_training_gives(self, tmp_path):
        model, last = normalised_model(), {}
        train(toy_task(model, ema=0.9), tmp_path, lambda *_: last.update(copy_of_state(model)))
        saved = load_tensors(tmp_path / "state" / "state.safetensors")
        assert all(torch.equal(v, saved[f"ema.model.{k}"]) for k, v in model.state_dict().items())
        assert distance(last, copy_of_state(model)) > 1e-4


class TestEarlyStopping:
    def test_keeps_the_best_and_stops_after_the_patience(self):
        stopping = EarlyStopping(2)
        for epoch, loss in enumerate([3.0, 1.0, 2.0, 1.0]):
            assert not stopping.stop
            stopping.judge(epoch, loss, {"w": torch.tensor(float(epoch))})
        assert stopping.stop and stopping.best_epoch == 1 and stopping.tensors["w"] == 1

    def test_a_loss_that_is_no_number_is_never_the_best(self):
        stopping = EarlyStopping(2)
        stopping.judge(0, float("nan"), {"w": torch.zeros(1)})
        assert not stopping.tensors
        stopping.judge(1, float("nan"), {"w": torch.zeros(1)})
        assert stopping.stop

    @pytest.mark.parametrize("losses", [[], [float("nan")], [0.1 + 0.2, 0.7]])
    def test_its_state_survives_json(self, losses):
        stopping, again = EarlyStopping(3), EarlyStopping(3)
        for epoch, loss in enumerate(losses):
            stopping.judge(epoch, loss, {"w": torch.tensor(float(epoch))})
        again.restore(json.loads(json.dumps(stopping.state())), stopping.tensors)
        assert vars(again) == vars(stopping)

    def test_ends_a_training_with_the_weights_of_its_best_epoch(self, tmp_path, monkeypatch):
        scripted = iter([0.9, 0.5, 0.6, 0.7, 0.1])
        monkeypatch.setattr(loop, "held_out_losses", lambda *_: {"loss": next(scripted)})
        model, after = normalised_model(), []
        task = toy_task(model, epochs=9, early_stopping=2)
        rows = train(task, tmp_path, lambda *_: after.append(copy_of_state(model)))
        assert [row["held_out"] for row in rows] == [0.9, 0.5, 0.6, 0.7]
        assert all(torch.equal(v, after[1][k]) for k, v in model.state_dict().items())

    def test_judges_by_images_it_does_not_learn_from(self, tmp_path):
        task = toy_task(normalised_model(), epochs=2, early_stopping=2, held_out=0.25)
        held = set(hold_out(task.pool.is_normal, 0.25, task.seed)[1].tolist())
        seen = {True: set(), False: set()}
        batch = task.pool.batch
        object.__setattr__(
            task.pool, "batch", lambda rows: seen[task.model.training].update(rows.tolist()) or batch(rows)
        )
        train(task, tmp_path)
        assert seen[False] == held
        assert seen[True] == set(range(len(task.pool))) - held

    def test_judges_the_averaged_weights_where_there_are_some(self, tmp_path):
        model = normalised_model()
        task = toy_task(model, ema=0.9, early_stopping=9)
        last = train(task, tmp_path)[-1]["held_out"]
        saved = load_tensors(tmp_path / "state" / "state.safetensors")
        training = imitation_training(task, Accelerator(cpu=True))
        training.task.load_state_dict({k[4:]: v for k, v in saved.items() if k.startswith("ema.")})
        again = loop.held_out_losses(training, OneProcess(torch.device("cpu")), training.task)["loss"]
        assert again == pytest.approx(last, rel=1e-6)


@pytest.mark.parametrize("killed_in", [0, 2, 3])
@pytest.mark.parametrize("before_saving", [True, False], ids=["before-saving", "after-saving"])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, monkeypatch, killed_in, before_saving):
    unbroken, resumed = normalised_model(), normalised_model()
    rows = train(toy_task(unbroken, **EVERYTHING), tmp_path / "unbroken")
    real = loop.save_checkpoint

    def die(folder, state):
        if state.epochs_done == killed_in + 1 and before_saving:
            raise KeyboardInterrupt
        real(folder, state)
        if state.epochs_done == killed_in + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", die)
    with pytest.raises(KeyboardInterrupt):
        train(toy_task(resumed, **EVERYTHING), tmp_path / "killed")
    monkeypatch.setattr(loop, "save_checkpoint", real)
    resumed = normalised_model()
    later = train(toy_task(resumed, **EVERYTHING), tmp_path / "killed")
    assert later == rows[killed_in + (0 if before_saving else 1) :]
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in unbroken.state_dict().items())
    one, two = (load_tensors(tmp_path / d / "state" / "state.safetensors") for d in ("unbroken", "killed"))
    assert {k.split(".")[0] for k in one} == {"model", "optimizer", "ema", "best"}
    assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)
    texts = [(tmp_path / d / "state" / "state.json").read_text() for d in ("unbroken", "killed")]
    assert texts[0] == texts[1]


def test_a_training_that_had_stopped_early_is_not_taken_up_again(tmp_path, monkeypatch):
    scripted = iter([0.5, 0.6, 0.7])
    monkeypatch.setattr(loop, "held_out_losses", lambda *_: {"loss": next(scripted)})
    first, again = normalised_model(), normalised_model()
    assert len(train(toy_task(first, epochs=9, early_stopping=2), tmp_path)) == 3
    assert train(toy_task(again, epochs=9, early_stopping=2), tmp_path) == []
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in first.state_dict().items())


def test_a_training_that_diverges_says_so_and_keeps_the_last_good_checkpoint(tmp_path):
    model = plain_model()

    def spoil(*_):
        torch.nn.init.constant_(model[0].weight, float("nan"))

    with pytest.raises(InputError, match=r"loss of epoch 2 is nan; lower distill\.full\.learning_rate"):
        train(toy_task(model), tmp_path, spoil)
    assert json.loads((tmp_path / "state" / "state.json").read_text())["epochs_done"] == 1


def test_a_whole_stage_with_everything_on_resumes_to_the_same_files(tiny_run, tmp_path, monkeypatch):
    config = tiny_distill_config()
    stage = StageConfig.model_validate({**config.lowres.model_dump(), **EVERYTHING})
    config = config.model_copy(update={"lowres": stage})
    real = loop.save_checkpoint

    def die(*args):
        real(*args)
        raise KeyboardInterrupt

    for name in ("unbroken", "killed"):
        shutil.copytree(tiny_run, tmp_path / name)
        shutil.rmtree(tmp_path / name / "lowres")
    store = ImageStore.open(tmp_path / "killed" / "data")
    monkeypatch.setattr(loop, "save_checkpoint", die)
    with pytest.raises(KeyboardInterrupt):
        run_stage("lowres", config, tmp_path / "killed", store)
    monkeypatch.setattr(loop, "save_checkpoint", real)
    for name in ("unbroken", "killed"):
        run_stage("lowres", config, tmp_path / name, store)
    for file in ("student.safetensors", "losses.csv"):
        one, other = ((tmp_path / name / "lowres" / file).read_bytes() for name in ("unbroken", "killed"))
        assert one == other, file
    with (tmp_path / "killed" / "lowres" / "losses.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["phase"] == "imitation"]
    assert all(float(row["held_out"]) > 0 for row in rows)


def test_answers_are_imitated_by_their_largest_cell_and_directions_by_the_mean():
    task = toy_task(plain_model())
    fine = np.zeros((40, 1 + DIRECTIONS, 2 * MAP, 2 * MAP), np.float16)
    fine[:, :, 0, 0] = 3.0
    halved = replace(task, targets=CachedTargets(fine), asked={"place": 0.5, "context": 0.5})
    found = halved.target(np.arange(2))
    assert found[0, 0, 0, 0] == 3.0
    assert found[0, 1, 0, 0] == 0.75


def test_cells_that_the_paint_covers_are_defective_and_of_small_paint_those_it_covers_most():
    cover = torch.zeros(3, 4, 4)
    cover[0, 0, :3] = torch.tensor([0.9, 0.2, 0.04])
    cover[1, 0, :2] = torch.tensor([0.05, 0.01])
    found = defective_cells(cover)
    assert found[0, 0].tolist() == [1, 1, UNKNOWN, 0]
    assert found[1, 0].tolist() == [1, UNKNOWN, 0, 0]
    assert (found[2] == 0).all()


def test_what_is_painted_is_known_of_painted_and_normal_images_and_unknown_of_others():
    task = toy_task(plain_model())
    is_normal, cover = np.zeros(40, bool), np.zeros((40, 32, 32), np.uint8)
    is_normal[0], cover[1, :4, :4] = True, 255
    known = replace(task, pool=replace(task.pool, cover=cover, is_normal=is_normal))
    normal, painted, other = known.painted(np.arange(3))
    assert (normal == 0).all()
    assert painted[0, 0] == 1 and painted.sum() == painted.clamp_min(0).sum()
    assert (other == UNKNOWN).all()


def test_the_painted_answer_learns_the_truth_and_not_what_the_teacher_says():
    features = torch.zeros(2, 3, 4, 4)
    features[0, 1, 0, 0] = 9.0
    model = nn.Conv2d(1, 3, 1)
    nn.init.zeros_(model.weight), nn.init.constant_(model.bias, 9.0)
    asked = {"place": 0.5, "context": 0.0, "painted": 0.5}
    losses = Imitation(model, torch.ones(1, 3, 1, 1), asked, from_paint=True)
    painted = torch.zeros(2, 4, 4)
    images, places = torch.zeros(2, 1, 4, 4), (torch.tensor([0]), torch.tensor([1]))
    wrong = losses(images, features, painted, *places)["loss"]
    right = losses(images, features, painted + 1, *places)["loss"]
    unknown = losses(images, features, painted + UNKNOWN, *places)["loss"]
    assert (wrong > right).all()
    torch.testing.assert_close(unknown, torch.full((2,), 0.5 * 81.0))


def test_with_few_images_the_painted_answer_is_the_teachers_and_sure_where_that_overlooks_the_paint():
    model = nn.Conv2d(1, 2, 1)
    nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
    losses = Imitation(model, torch.ones(1, 2, 1, 1), {"place": 0.0, "painted": 1.0})
    features, painted = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4)
    features[0, 0, 0, 0] = -1.0
    images, places = torch.zeros(1, 1, 4, 4), (torch.tensor([], dtype=torch.long), torch.tensor([0]))
    overlooked = painted.clone()
    overlooked[0, 0, 0] = 1
    found = [losses(images, features, truth, *places)["loss"].item() for truth in (painted, overlooked)]
    assert found == pytest.approx([2 * 0.5 / 16, 2 * (SURE - 0.5) / 16])


@pytest.mark.parametrize("bits", [8, 16])
def test_a_gpu_is_given_the_numbers_that_a_cpu_learns_from(bits):
    """Grey levels and features travel as they are stored and become the same numbers on the other side."""
    task = toy_task(plain_model())
    pixels = task.pool.images if bits == 8 else task.pool.images.astype(np.uint16) * np.uint16(257)
    pool = replace(task.pool, images=pixels)
    other = CachedTargets(np.full((40, 1, MAP, MAP), 2.5, np.float16))
    known = replace(task, pool=pool, asked={"place": 0.5, "context": 0.5}, answer_targets=other)
    rows = np.array([0, 3, 4, 21])
    images, targets = known.on(torch.device("cpu"), known.stored(rows))
    assert torch.equal(images, torch.from_numpy(pool.batch(rows)))
    assert torch.equal(targets, known.target(rows))
    assert (targets[:, 0] == 2.5).all()
