"""The teacher: a pretrained backbone and its adaptation to normal wafer images.

Names are imported when they are first used: reading a configuration must not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teacher.config import TeacherConfig
    from teacher.model import Teacher, load_teacher, save_teacher

_HOMES = {
    "Teacher": "teacher.model",
    "TeacherConfig": "teacher.config",
    "load_teacher": "teacher.model",
    "save_teacher": "teacher.model",
}

__all__ = ["Teacher", "TeacherConfig", "load_teacher", "save_teacher"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
