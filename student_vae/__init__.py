"""The student VAE: trunk, latent, decoders, likelihood, ELBO, scores and heat maps."""

from student_vae.checkpoint import load_student, save_student
from student_vae.config import LikelihoodConfig, StudentConfig
from student_vae.likelihood import FeatureLikelihood, Scores
from student_vae.model import StudentVAE

__all__ = [
    "FeatureLikelihood",
    "LikelihoodConfig",
    "Scores",
    "StudentConfig",
    "StudentVAE",
    "load_student",
    "save_student",
]
