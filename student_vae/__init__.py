"""The student VAE: trunk, latent, decoder, ELBO; its feature likelihood is :mod:`likelihood`.

Names are imported when they are first used: reading a configuration must not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from student_vae.checkpoint import load_student, save_student
    from student_vae.config import StudentConfig
    from student_vae.model import StudentVAE

_HOMES = {
    "StudentConfig": "student_vae.config",
    "StudentVAE": "student_vae.model",
    "load_student": "student_vae.checkpoint",
    "save_student": "student_vae.checkpoint",
}

__all__ = ["StudentConfig", "StudentVAE", "load_student", "save_student"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
