"""Features of the training normals: kept in a file that a killed fit goes on with, or computed in every pass."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from likelihood import LevelConfig, LikelihoodConfig
from likelihood.fit import fit_likelihood
from teacher import normal_features
from teacher.normal_features import NormalFeatures
from wafer_data.errors import InputError

COUNT, SHAPE, STEP = 230, (3, 4, 4), 2
BYTES = COUNT * 3 * 4 * 4 * 2
FEATURES = torch.randn(COUNT, *SHAPE, generator=torch.Generator().manual_seed(0))
ROUNDED = FEATURES.half().float()


class Backbone:
    """Hands out `FEATURES`, remembers what it was asked for, and fails at one image if told to."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked: list[int] = []
        self.most_at_once = 0
        self.fails_at = fails_at

    def __call__(self, positions: np.ndarray) -> torch.Tensor:
        if self.fails_at in positions:
            raise KeyboardInterrupt
        self.asked += positions.tolist()
        self.most_at_once = max(self.most_at_once, len(positions))
        return FEATURES[positions]


def features_of(
    compute: Callable[[np.ndarray], torch.Tensor], folder: Path, key: str = "key", most_gb: float = 1.0
) -> NormalFeatures:
    return NormalFeatures(compute, COUNT, SHAPE, folder, key, most_gb, STEP)


def killed(folder: Path, fails_at: int = 150) -> None:
    with pytest.raises(KeyboardInterrupt):
        features_of(Backbone(fails_at), folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("most_gb", [1.0, 0.0])
def test_every_image_has_its_features_in_order_rounded_to_half_precision(tmp_path, most_gb):
    features = features_of(Backbone(), tmp_path / "work", most_gb=most_gb)
    assert torch.equal(torch.cat(list(features.batches())), ROUNDED)
    assert torch.equal(torch.cat(list(features.batches())), ROUNDED)  # as often as asked
    some = np.array([200, 3, 3, 64])
    rows = features.rows(some)
    assert rows.dtype == torch.float32 and torch.equal(rows, ROUNDED[some])


def test_within_the_limit_each_image_is_computed_once(tmp_path):
    backbone = Backbone()
    features = features_of(backbone, tmp_path, most_gb=BYTES / 1e9)
    for _ in range(3):
        list(features.batches())
    assert backbone.asked == list(range(COUNT))


def test_over_the_limit_nothing_is_written_and_every_pass_computes(tmp_path):
    backbone = Backbone()
    features = features_of(backbone, tmp_path / "work", most_gb=(BYTES - 1) / 1e9)
    assert backbone.asked == []
    for _ in range(2):
        list(features.batches())
    assert backbone.asked == 2 * list(range(COUNT))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("most_gb", [1.0, 0.0])
def test_the_backbone_never_gets_more_images_at_once_than_it_was_configured_for(tmp_path, most_gb):
    """More might not fit the memory of a GPU."""
    backbone = Backbone()
    features = features_of(backbone, tmp_path, most_gb=most_gb)
    list(features.batches())
    features.rows(np.arange(50))
    assert backbone.most_at_once == STEP


def test_the_likelihood_is_the_same_on_both_ways(tmp_path):
    config = LikelihoodConfig(latent=4, latent_grid=2, levels=[LevelConfig(grid=4, mean_grid=4)])
    kept, computed = (
        fit_likelihood(features_of(Backbone(), tmp_path, most_gb=gb).batches, config) for gb in (1.0, 0.0)
    )
    assert all(torch.equal(kept.state_dict()[name], value) for name, value in computed.state_dict().items())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no way to reserve disk blocks here")
def test_a_full_disk_is_told_before_anything_is_computed(tmp_path, monkeypatch):
    """Through the memory map it would end the process without a word."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    backbone = Backbone()
    with pytest.raises(InputError, match=r"disk full while writing .*features\.npy"):
        features_of(backbone, tmp_path)
    assert backbone.asked == [] and not list(tmp_path.iterdir())


class TestKilled:
    def test_it_goes_on_from_what_was_noted_to_the_same_bytes(self, tmp_path):
        features_of(Backbone(), tmp_path / "whole")
        killed(tmp_path / "killed")
        backbone = Backbone()
        resumed = features_of(backbone, tmp_path / "killed")
        assert backbone.asked == list(range(100, COUNT))  # noted every 50 steps of 2 images
        assert content(tmp_path / "killed") == content(tmp_path / "whole")
        assert torch.equal(torch.cat(list(resumed.batches())), ROUNDED)

    def test_twice_too(self, tmp_path):
        features_of(Backbone(), tmp_path / "whole")
        killed(tmp_path / "killed", fails_at=150)
        killed(tmp_path / "killed", fails_at=220)
        backbone = Backbone()
        features_of(backbone, tmp_path / "killed")
        assert backbone.asked == list(range(200, COUNT))
        assert content(tmp_path / "killed") == content(tmp_path / "whole")

    def test_before_the_first_note_it_starts_afresh(self, tmp_path):
        killed(tmp_path, fails_at=20)
        backbone = Backbone()
        assert torch.equal(torch.cat(list(features_of(backbone, tmp_path).batches())), ROUNDED)
        assert backbone.asked == list(range(COUNT))

    def test_after_the_last_one_nothing_is_computed_again(self, tmp_path):
        features_of(Backbone(), tmp_path)
        backbone = Backbone()
        assert torch.equal(features_of(backbone, tmp_path).rows(np.arange(COUNT)), ROUNDED)
        assert backbone.asked == []

    def test_work_of_another_key_is_not_gone_on_with(self, tmp_path):
        killed(tmp_path)
        backbone = Backbone()
        features_of(backbone, tmp_path, key="another")
        assert backbone.asked == list(range(COUNT))

    def test_work_of_another_key_is_forgotten_even_if_the_new_one_is_killed_at_once(self, tmp_path):
        """Its note must not vouch for features that have been written over."""
        killed(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            features_of(Backbone(fails_at=4), tmp_path, key="another")
        backbone = Backbone()
        features_of(backbone, tmp_path)
        assert backbone.asked == list(range(COUNT))


class TestElsewhere:
    """What is computed by others comes in blocks, in any order."""

    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch):
        monkeypatch.setattr(normal_features, "BLOCK", 65)  # of 64 images: whole passes of 2

    @staticmethod
    def features(folder: Path, blocks: list[np.ndarray], fails_after: int | None = None) -> NormalFeatures:
        def elsewhere(asked):
            blocks.extend(asked)
            for place, number in enumerate(reversed(range(len(asked)))):
                if place == fails_after:
                    raise KeyboardInterrupt
                yield number, FEATURES[asked[number]].half().numpy()

        return NormalFeatures(
            Backbone(fails_at=0), COUNT, SHAPE, folder, "key", 1.0, STEP, elsewhere=elsewhere
        )

    def test_the_features_are_the_same(self, tmp_path):
        blocks: list[np.ndarray] = []
        features = self.features(tmp_path, blocks)
        assert [len(block) for block in blocks] == [64, 64, 64, 38]
        assert torch.equal(features.rows(np.arange(COUNT)), ROUNDED)

    def test_killed_it_asks_for_the_blocks_that_did_not_come(self, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            self.features(tmp_path, [], fails_after=2)
        blocks: list[np.ndarray] = []
        features = self.features(tmp_path, blocks)
        assert [int(block[0]) for block in blocks] == [0, 64]
        assert torch.equal(features.rows(np.arange(COUNT)), ROUNDED)

    def test_begun_here_it_is_gone_on_with_there_and_the_other_way_round(self, tmp_path):
        killed(tmp_path / "here")  # noted up to 100
        blocks: list[np.ndarray] = []
        self.features(tmp_path / "here", blocks)
        assert min(int(block[0]) for block in blocks) == 100
        with pytest.raises(KeyboardInterrupt):
            self.features(tmp_path / "there", [], fails_after=2)
        features = features_of(Backbone(), tmp_path / "there")
        assert torch.equal(features.rows(np.arange(COUNT)), ROUNDED)
