"""The feature likelihood, which teacher and students share: how unlikely is what a network sees, cell by cell?

Names are imported when they are first used: reading a configuration must not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likelihood.config import LevelConfig, LikelihoodConfig
    from likelihood.fit import fit_likelihood
    from likelihood.model import FeatureLikelihood, Scores

_HOMES = {
    "FeatureLikelihood": "likelihood.model",
    "LevelConfig": "likelihood.config",
    "LikelihoodConfig": "likelihood.config",
    "Scores": "likelihood.model",
    "fit_likelihood": "likelihood.fit",
}

__all__ = ["FeatureLikelihood", "LevelConfig", "LikelihoodConfig", "Scores", "fit_likelihood"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
