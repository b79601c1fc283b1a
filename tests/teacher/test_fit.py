"""The adapted teacher: principal directions, what is saved, what is refused."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from teacher import load_teacher
from teacher.fit import fit_teacher, spread
from wafer_data.errors import InputError


@pytest.fixture(scope="module")
def teacher_dir(tiny_store, tiny_teacher_config, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "teacher"
    fit_teacher(tiny_teacher_config, tiny_store, out)
    return out


def test_projection_is_pca_of_standardised_features(teacher_dir, tiny_store):
    teacher = load_teacher(teacher_dir)
    images = torch.from_numpy(tiny_store.batch(tiny_store.indices("train", label=0)))
    with torch.no_grad():
        raw = ((teacher.backbone(images) - teacher.channel_mean) / teacher.channel_std).permute(0, 2, 3, 1)
        ours = teacher.features(images).permute(0, 2, 3, 1).reshape(-1, 8).numpy()
    reference = PCA(8).fit_transform(raw.reshape(-1, teacher.backbone.channels).numpy())
    np.testing.assert_allclose(ours.std(0), reference.std(0), rtol=1e-3)


def test_a_loaded_teacher_scores_defects_of_the_synthetic_set_higher(teacher_dir, tiny_store):
    teacher = load_teacher(teacher_dir)
    with torch.no_grad():
        normal, defect = (
            teacher.score(torch.from_numpy(tiny_store.batch(tiny_store.indices("test", label=label)))).score
            for label in (0, 1)
        )
    assert defect.median() > normal.median()


def test_fit_is_the_same_each_time(teacher_dir, tiny_store, tiny_teacher_config, tmp_path):
    fit_teacher(tiny_teacher_config, tiny_store, tmp_path / "teacher")
    for name in ("teacher.safetensors", "teacher.json"):
        assert (tmp_path / "teacher" / name).read_bytes() == (teacher_dir / name).read_bytes()


def test_nothing_half_written_when_the_fit_is_interrupted(
    tiny_store, tiny_teacher_config, tmp_path, monkeypatch
):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("teacher.fit.fit_likelihood", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit_teacher(tiny_teacher_config, tiny_store, tmp_path / "teacher")
    assert list(tmp_path.iterdir()) == []


def test_more_directions_than_channels_are_refused(tiny_store, tiny_teacher_config, tmp_path):
    config = tiny_teacher_config.model_copy(update={"directions": 500})
    with pytest.raises(InputError, match=r"teacher\.directions=500"):
        fit_teacher(config, tiny_store, tmp_path / "teacher")


def test_spread_keeps_ends_and_count():
    indices = np.arange(100, 200)
    chosen = spread(indices, 10)
    assert len(chosen) == 10 and chosen[0] == 100 and chosen[-1] == 199
    assert (spread(indices, 500) == indices).all()
