"""The teacher's projected features of images, on its device and in the precision of the configuration."""

from __future__ import annotations

import torch
from torch import Tensor

from teacher.config import TeacherConfig
from teacher.model import Teacher


@torch.no_grad()
def project_images(teacher: Teacher, images: Tensor, config: TeacherConfig) -> Tensor:
    """Projected features of images (B, C, 256, 256) in [0, 1], (B, d, map, map)."""
    device = teacher.projection.device
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and device.type == "cuda"):
        return teacher.features(images.to(device))
