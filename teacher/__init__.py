"""The teacher: a pretrained backbone and its adaptation to normal wafer images."""

from teacher.config import TeacherConfig
from teacher.model import Teacher, load_teacher, save_teacher

__all__ = ["Teacher", "TeacherConfig", "load_teacher", "save_teacher"]
