"""What the adapters learn: tell synthetic anomalies from normal positions, and leave the normal ones as they are.

A small head judges every position of the feature map on its own. It is weak on purpose and thrown away after the
training: what lowers its loss must happen in the features. Training a detector on synthetic anomalies over
features follows DRAEM (Zavrtanik et al. 2021) and SimpleNet (Liu et al. 2023); the loss is the focal loss (Lin et
al. 2017, eq. 4) with anomalous and normal positions weighing the same, so that a particle counts as much as a stain.
The penalty keeps what the backbone knew: an unseen kind of defect is only noticed through it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teacher.gradient.config import LoraConfig
from teacher.gradient.examples import ANOMALOUS, NORMAL

if TYPE_CHECKING:
    from peft import PeftModel

HEAD_CHANNELS = 64


class AnomalyTask(nn.Module):
    """An adapted backbone and its head; `forward` returns the losses of a batch.

    Args:
        backbone: with adapters (`with_adapters`).
        channels: of its features.
        config: weights of the losses.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: PeftModel, channels: int, config: LoraConfig) -> None:
        super().__init__()
        self.backbone, self.config = backbone, config
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))
        self.head = nn.Sequential(
            nn.Conv2d(channels, HEAD_CHANNELS, 1), nn.GELU(), nn.Conv2d(HEAD_CHANNELS, 1, 1)
        )

    @torch.no_grad()
    def standardise(self, batches: Iterable[Tensor]) -> None:
        """Set each channel's mean and standard deviation from batches of normal images, (B, 1, S, S)."""
        count, total, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for images in batches:
            maps = self._frozen(images).double()
            count += maps[:, 0].numel()
            total += maps.sum((0, 2, 3), keepdim=True)
            squares += maps.square().sum((0, 2, 3), keepdim=True)
        mean = total / count
        self.mean.copy_(mean)
        self.std.copy_((squares / count - mean.square()).clamp_min(0).sqrt() + 1e-6)

    def train(self, mode: bool = True) -> AnomalyTask:
        """As ever, but the backbone stays in evaluation mode: merged weights must meet the same statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses, (B,) each, of (B, 1, S, S) images; (B, h, w) labels as in `teacher.gradient.examples`."""
        features = (self.backbone(images) - self.mean) / self.std
        with torch.no_grad():
            frozen = (self._frozen(images) - self.mean) / self.std
        detection = balanced_focal(self.head(features)[:, 0].float(), labels, self.config.focal)
        change = (features - frozen).float().square().mean(1)
        preservation = _mean_where(change, labels == NORMAL)
        return {
            "loss": detection + self.config.preservation * preservation,
            "detection": detection,
            "preservation": preservation,
        }

    def _frozen(self, images: Tensor) -> Tensor:
        with self.backbone.disable_adapter():
            return self.backbone(images)


def balanced_focal(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Focal loss of each image, (B,), from (B, h, w) logits.

    Half the mean over its anomalous cells plus half that over its normal ones; other cells count nowhere.
    """
    target = (labels == ANOMALOUS).to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    wrong = torch.sigmoid(torch.where(labels == ANOMALOUS, -logits, logits))
    loss = wrong.pow(gamma) * entropy
    return 0.5 * (_mean_where(loss, labels == ANOMALOUS) + _mean_where(loss, labels == NORMAL))


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    """Mean of (B, h, w) values over the cells of each image that count, (B,); 0 where none does."""
    return (values * where).sum((1, 2)) / where.sum((1, 2)).clamp_min(1)
