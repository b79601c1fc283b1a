"""The student as a whole: shapes, sizes, what is counted, and what is saved."""

import json

import pytest
import torch
from pydantic import ValidationError

from distill.config import DistillConfig
from likelihood import LevelConfig, LikelihoodConfig
from likelihood.defect_head import DefectHead
from student_vae import StudentConfig, StudentVAE, load_student, save_student
from wafer_data.errors import InputError

CHANNELS, LATENT = 8, 12
FINE = LevelConfig(grid=16, mean_grid=8, covariance_block=2, directions=4)


def small_student(
    has_decoder: bool = True, has_head: bool = False, prototypes: int = 0, **likelihood
) -> StudentVAE:
    torch.manual_seed(0)
    values = {"levels": [LevelConfig(), FINE], **likelihood}
    config = StudentConfig(input_size=64, map_size=16, width=0.25, likelihood=LikelihoodConfig(**values))
    student = StudentVAE(config, CHANNELS, LATENT, has_decoder, has_head, prototypes).eval()
    for name, buffer in student.likelihood.named_buffers():
        if not name.endswith(("whitening", "level_spread")):
            buffer.copy_(torch.randn_like(buffer) * 0.1)
    return student


def levels_up_to(side: int) -> list[LevelConfig]:
    return [LevelConfig(), LevelConfig(grid=side, mean_grid=8, covariance_block=2)]


@pytest.mark.parametrize(("size", "side"), [(256, 32), (128, 32), (128, 16), (64, 32), (64, 16)])
def test_scores_have_the_documented_shapes_at_every_resolution(size, side):
    likelihood = LikelihoodConfig(levels=levels_up_to(side))
    config = StudentConfig(input_size=size, map_size=side, width=0.25, likelihood=likelihood)
    student = StudentVAE(config, CHANNELS, LATENT).eval()
    with torch.no_grad():
        scores = student.score(torch.rand(3, 1, 256, 256))
    assert scores.score.shape == (3,)
    assert scores.map.shape == (3, side, side)
    assert scores.latent.shape == (3, LATENT)
    assert (scores.map >= 0).all()
    assert student.reconstruct(scores.latent).shape == (3, 1, size, size)


def test_the_map_has_the_side_of_the_finest_level_not_of_the_features():
    student = small_student(levels=[LevelConfig(), LevelConfig(grid=4, mean_grid=4)])
    assert student.score(torch.rand(2, 1, 256, 256)).map.shape == (2, 8, 8)


def test_reconstruction_is_a_probability_for_each_pixel():
    image = small_student().reconstruct(torch.randn(2, LATENT) * 5)
    assert image.min() >= 0 and image.max() <= 1


def test_default_students_keep_their_parameter_budgets():
    for stage, budget in ((DistillConfig().full, 1_000_000), (DistillConfig().lowres, 300_000)):
        likelihood = stage.student.likelihood
        used = likelihood.channels_used(32)
        model = StudentVAE(
            stage.student,
            used,
            likelihood.coordinates,
            has_decoder=stage.elbo_epochs > 0,
            has_head=True,
            prototypes=likelihood.prototypes,
        )
        assert model.parameter_count < budget


def test_parameter_count_includes_likelihood_tables_and_head():
    plain, taught = small_student(has_decoder=False), small_student(has_decoder=False, has_head=True)
    weights = sum(p.numel() for p in plain.parameters())
    assert plain.parameter_count == weights + plain.likelihood.parameter_count
    assert plain.likelihood.parameter_count > CHANNELS * 8 * 8 * (1 + CHANNELS / 2)
    assert taught.parameter_count - plain.parameter_count == DefectHead(CHANNELS).parameter_count


def test_posterior_mean_is_the_latent_that_scores():
    student = small_student()
    features = torch.randn(2, CHANNELS, 16, 16)
    mean, log_variance = student.posterior(features)
    torch.testing.assert_close(mean, student.likelihood(features).latent)
    assert log_variance.shape == (2, LATENT)


def test_without_the_elbo_phase_there_is_nothing_to_reconstruct_with():
    student = small_student(has_decoder=False)
    for ask in (student.posterior, student.reconstruct):
        with pytest.raises(RuntimeError, match="without the ELBO phase"):
            ask(torch.zeros(1, CHANNELS, 16, 16))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"has_decoder": False},
        {"has_head": True},
        {"prototypes": 9},
        {"latent_directions": 4},  # the first level is no longer tied to the latent
        {"levels": [LevelConfig(grid=4, mean_grid=4), FINE, LevelConfig(scored=False)], "map_smoothing": 1},
    ],
)
def test_a_saved_student_scores_the_same(tmp_path, changes):
    student = small_student(**changes)
    save_student(student, tmp_path)
    again = load_student(tmp_path)
    assert again.parameter_count == student.parameter_count
    image = torch.rand(2, 1, 256, 256)
    with torch.no_grad():
        for before, after in zip(student.score(image), again.score(image), strict=True):
            assert torch.equal(before, after)


@pytest.mark.parametrize("schema", [1, 6, None])
def test_a_student_of_another_schema_is_refused(tmp_path, schema):
    save_student(small_student(), tmp_path)
    path = tmp_path / "student.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": schema}))
    with pytest.raises(InputError, match=f"schema {schema}, expected 7"):
        load_student(tmp_path)


def test_broken_weights_are_refused_with_the_file_named(tmp_path):
    save_student(small_student(), tmp_path)
    path = tmp_path / "student.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"student\.safetensors"):
        load_student(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("width", 0.5), ("latent_grid", 8), ("covariance_block", 1)])
def test_weights_of_another_architecture_are_refused(tmp_path, key, value):
    save_student(small_student(), tmp_path)
    text = (tmp_path / "student.json").read_text()
    old = {"width": 0.25, "latent_grid": 4, "covariance_block": 2}[key]
    (tmp_path / "student.json").write_text(text.replace(f'"{key}": {old}', f'"{key}": {value}'))
    with pytest.raises(InputError, match="do not fit"):
        load_student(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"input_size": 96}, {"input_size": 64, "map_size": 64}, {"map_size": 12}, {"width": 0.0}]
)
def test_impossible_architectures_are_refused(wrong):
    with pytest.raises(ValidationError):
        StudentConfig(**wrong)


def test_a_map_that_the_levels_do_not_fit_names_the_keys():
    with pytest.raises(ValidationError, match=r"student\.map_size=32 .*student\.likelihood\.levels"):
        StudentConfig(likelihood=LikelihoodConfig(levels=[LevelConfig(grid=12, mean_grid=12)]))


def test_levels_finer_than_the_map_take_the_maps_own_grid():
    likelihood = StudentVAE(StudentConfig(input_size=64, map_size=16), 8, 6, has_decoder=False).likelihood
    assert [level.grid for level in likelihood.level_list] == [8, 2, 16, 16] and likelihood.map_side == 16
