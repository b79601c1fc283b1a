"""Which flips the pool uses: as measured, as the user says, and always with the reason."""

import json

import pytest

from distill.augmentation import choose_augmentation
from distill.config import PoolConfig
from wafer_data.augment import AugmentConfig
from wafer_data.errors import InputError
from waferroute.config import load_config, to_yaml

FLIPS = ("horizontal_flip", "vertical_flip", "rotate90")


@pytest.fixture
def measured(tmp_path):
    """Writes what a teacher measured, AUROC by change, and returns its folder."""

    def write(*aurocs):
        changes = {
            name: {"auroc": a, "interval95": None if a is None else [a - 0.02, a + 0.02]}
            for name, a in zip(FLIPS, aurocs, strict=True)
        }
        content = {"schema": 3, "fitted": 14, "judged": 14, "changes": changes, "exact": []}
        (tmp_path / "symmetries.json").write_text(json.dumps(content))
        return tmp_path

    return write


def flips(choice):
    return [getattr(choice.config, name) for name in FLIPS]


def test_only_changes_that_are_hardly_told_are_used(measured):
    choice = choose_augmentation(PoolConfig(), measured(0.7, 0.95, 0.8))
    assert flips(choice) == [True, False, False]
    assert choice.reasons["horizontal_flip"].endswith(
        "hardly told from others, with AUROC 0.70 (95 % interval 0.68 to 0.72, limit 0.80): used"
    )
    assert choice.reasons["vertical_flip"] == (
        "mirrored top-bottom, normals are distinguished with AUROC 0.95 (95 % interval 0.93 to 0.97, limit 0.80): this "
        "surface has no such symmetry; copies so mirrored join as anomalies"
    )


def test_the_limit_is_the_users(measured):
    assert flips(choose_augmentation(PoolConfig(symmetry_limit=0.96), measured(0.7, 0.95, 0.8))) == [True] * 3


def test_undecided_means_no_flips_and_says_so(measured):
    choice = choose_augmentation(PoolConfig(), measured(None, None, None))
    assert flips(choice) == [False] * 3
    assert choice.reasons["rotate90"].startswith(
        "14 normals to judge it on are too few, 20 are needed: left out"
    )


@pytest.mark.parametrize(("setting", "expected"), [("all", True), ("none", False)])
def test_all_and_none_need_no_measurement(tmp_path, setting, expected):
    choice = choose_augmentation(PoolConfig(flips=setting), tmp_path)
    assert flips(choice) == [expected] * 3
    assert set(choice.reasons.values()) == {f"set by distill.pool.flips={setting}"}


def test_a_flip_that_the_user_sets_goes_before_everything(measured):
    config = PoolConfig(augment=AugmentConfig(horizontal_flip=False, vertical_flip=True, noise=0.01))
    choice = choose_augmentation(config, measured(0.6, 0.99, 0.6))
    assert flips(choice) == [False, True, True]
    assert choice.reasons["vertical_flip"] == "set by distill.pool.augment.vertical_flip=true"
    assert choice.config.noise == 0.01


def test_brightness_and_contrast_stay_whatever_is_measured(measured):
    config = choose_augmentation(PoolConfig(), measured(0.6, 0.6, 0.6)).config
    assert (config.brightness, config.contrast) == (0.05, 0.1)


def test_measured_without_a_measurement_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"symmetries\.json does not exist: adapt the teacher again"):
        choose_augmentation(PoolConfig(), tmp_path)
    user = AugmentConfig(horizontal_flip=True, vertical_flip=True, rotate90=False)
    assert flips(choose_augmentation(PoolConfig(augment=user), tmp_path)) == [True, True, False]


def test_a_resolved_configuration_still_leaves_the_flips_open(tmp_path):
    """A run writes every key out; reading that back must not turn an open choice into the user's."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "run: {dir: a}\ndata: {format: folder, root: b}\ndistill: {pool: {augment: {noise: 0.01}}}\n"
    )
    path.write_text(to_yaml(load_config(path)))
    pool = load_config(path, ["distill.pool.augment.vertical_flip=true"]).distill.pool
    assert pool.augment == AugmentConfig(vertical_flip=True, brightness=0.05, contrast=0.1, noise=0.01)


def test_each_stage_keeps_the_choice_and_its_reasons(tiny_run):
    for stage in ("intermediate", "target", "full", "lowres"):
        content = json.loads((tiny_run / stage / "augmentation.json").read_text())
        assert content["schema"] == 1 and set(content["reasons"]) == set(FLIPS)
        assert content["augment"]["horizontal_flip"] is False  # 14 images are too few to tell


def test_mirrors_that_the_surface_lacks_become_anomalies(measured):
    choice = choose_augmentation(PoolConfig(), measured(0.7, 0.95, 1.0))
    assert (choice.foreign.horizontal_flip, choice.foreign.vertical_flip) == (None, True)
    assert not choice.foreign.rotate90, "a turned image is no likelier a defect than noise is"
    assert choice.to_dict()["anomalous"] == ["vertical_flip"]


@pytest.mark.parametrize("config", [PoolConfig(foreign_mirrors=False), PoolConfig(flips="none")])
def test_mirrors_may_be_left_out_altogether(measured, config):
    foreign = choose_augmentation(config, measured(0.95, 0.95, 1.0)).foreign
    assert not foreign.horizontal_flip and not foreign.vertical_flip


def test_nothing_is_called_an_anomaly_without_evidence(measured):
    assert choose_augmentation(PoolConfig(), measured(None, None, None)).to_dict()["anomalous"] == []
