"""The student as a whole: shapes, sizes, what is counted, and what is saved."""

import pytest
import torch
from pydantic import ValidationError

from distill.config import DistillConfig
from student_vae import StudentConfig, StudentVAE, load_student, save_student
from wafer_data.errors import InputError


def small_student(has_decoder: bool = True, **changes) -> StudentVAE:
    torch.manual_seed(0)
    config = StudentConfig(input_size=64, map_size=16, width=0.25, **changes)
    student = StudentVAE(config, 8, 12, has_decoder).eval()
    for name, buffer in student.likelihood.named_buffers():
        if name != "whitening":
            buffer.copy_(torch.randn_like(buffer) * 0.1)
    return student


@pytest.mark.parametrize(("size", "side"), [(256, 32), (128, 32), (128, 16), (64, 32), (64, 16)])
def test_scores_have_the_documented_shapes_at_every_resolution(size, side):
    student = StudentVAE(StudentConfig(input_size=size, map_size=side, width=0.25), 8, 12).eval()
    with torch.no_grad():
        scores = student.score(torch.rand(3, 1, 256, 256))
    assert scores.score.shape == (3,)
    assert scores.map.shape == (3, side, side)
    assert scores.latent.shape == (3, 12)
    assert (scores.map >= 0).all()
    assert student.reconstruct(scores.latent).shape == (3, 1, size, size)


def test_reconstruction_is_a_probability_for_each_pixel():
    image = small_student().reconstruct(torch.randn(2, 12) * 5)
    assert image.min() >= 0 and image.max() <= 1


def test_default_students_keep_their_parameter_budgets():
    for stage, budget in ((DistillConfig().full, 2_000_000), (DistillConfig().lowres, 500_000)):
        config = stage.student
        assert StudentVAE(config, config.directions, config.likelihood.latent).parameter_count < budget


def test_parameter_count_includes_likelihood_tables():
    student = small_student(has_decoder=False)
    weights = sum(p.numel() for p in student.parameters())
    assert student.parameter_count > weights + 8 * 16 * 16


def test_posterior_mean_is_the_latent_that_scores():
    student = small_student()
    features = torch.randn(2, 8, 16, 16)
    mean, log_variance = student.posterior(features)
    torch.testing.assert_close(mean, student.likelihood(features).latent)
    assert log_variance.shape == (2, 12)


@pytest.mark.parametrize("has_decoder", [True, False])
def test_a_saved_student_scores_the_same(tmp_path, has_decoder):
    student = small_student(has_decoder)
    save_student(student, tmp_path)
    again = load_student(tmp_path)
    image = torch.rand(2, 1, 256, 256)
    with torch.no_grad():
        for before, after in zip(student.score(image), again.score(image), strict=True):
            torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_broken_weights_are_refused_with_the_file_named(tmp_path):
    save_student(small_student(), tmp_path)
    path = tmp_path / "student.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"student\.safetensors"):
        load_student(tmp_path)


def test_weights_of_another_architecture_are_refused(tmp_path):
    save_student(small_student(), tmp_path)
    text = (tmp_path / "student.json").read_text()
    (tmp_path / "student.json").write_text(text.replace('"width": 0.25', '"width": 0.5'))
    with pytest.raises(InputError, match="do not fit"):
        load_student(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"input_size": 96}, {"input_size": 64, "map_size": 64}, {"map_size": 12}, {"width": 0.0}]
)
def test_impossible_architectures_are_refused(wrong):
    with pytest.raises(ValidationError):
        StudentConfig(**wrong)
