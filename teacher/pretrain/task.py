"""Masked feature distillation: what is minimised.

Targets are the features of a teacher network, each channel standardised, compared by a smooth L1 loss: Wei et al.,
"Contrastive Learning Rivals Masked Image Modeling in Fine-tuning via Feature Distillation" 2022, section 3.1 (there by
a layer norm without scale). Predicting them for hidden blocks is masked distillation: Peng et al., "A Unified View of
Masked Image Modeling" 2022, eq. 1; hiding pixels by one learned grey value works for convolutional networks too: Xie et
al., "SimMIM" 2022, section 3.1. Chosen because these targets are dense, as the likelihood needs them, and keep what the
ready weights know, which a small number of grey images could not teach anew.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teacher.backbones import Backbone
from teacher.pretrain.config import PretrainConfig

UNKNOWN = -1
"""The label of an image of which nothing is known."""


class MaskedDistillation(nn.Module):
    """A backbone in training, the target network, and what predicts hidden features.

    Args:
        backbone: starts from the ready weights; all of it is trained but the running statistics of batch normalisation.
        config: see there.
        kinds: number of label kinds, 0 without labels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, config: PretrainConfig, kinds: int) -> None:
        super().__init__()
        self.config = config
        self.target = copy.deepcopy(backbone).requires_grad_(False).eval()
        self.backbone = backbone.requires_grad_(True)
        if config.gradient_checkpointing:
            _checkpoint_gradients(backbone.net)
        self.hidden = nn.Parameter(torch.tensor(0.5))
        self.predict = nn.Conv2d(backbone.channels, backbone.channels, 1)
        nn.init.dirac_(self.predict.weight)
        assert self.predict.bias is not None  # for the type checker
        nn.init.zeros_(self.predict.bias)
        self.name = nn.Linear(backbone.channels, kinds) if kinds > 1 and config.label_weight else None
        self.register_buffer("mean", torch.zeros(1, backbone.channels, 1, 1))
        self.register_buffer("std", torch.ones(1, backbone.channels, 1, 1))

    def train(self, mode: bool = True) -> MaskedDistillation:
        """Training mode, in which running statistics stay: the networks will be used on whole images, not on these."""
        super().train(mode)
        self.target.eval()
        for part in self.backbone.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
        return self

    @torch.no_grad()
    def standardise(self, images: Iterable[Tensor]) -> None:
        """Set mean and standard deviation of each channel of the targets from (B, 1, S, S) images."""
        maps = torch.cat([self.target(batch).double() for batch in images])
        self.mean.copy_(maps.mean((0, 2, 3), keepdim=True))
        self.std.copy_(maps.std((0, 2, 3), keepdim=True).clamp_min(1e-6))

    def forward(self, image: Tensor, mask: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Losses of each image.

        Args:
            image: (B, 1, S, S) grey in [0, 1].
            mask: (B, 1, S, S), 1 where the pixel is hidden.
            label: (B,) kind, or `UNKNOWN`.
        """
        with torch.no_grad():
            target = (self.target(image).float() - self.mean) / self.std
        features = self.backbone(torch.where(mask > 0, self.hidden.to(image.dtype), image)).float()
        features = (features - self.mean) / self.std
        covered = F.adaptive_avg_pool2d(mask.float(), features.shape[-1])[:, 0]
        predicted = F.smooth_l1_loss(self.predict(features), target, reduction="none").mean(1)
        kept = F.smooth_l1_loss(features, target, reduction="none").mean(1)
        masked = _mean(predicted, covered)
        visible = _mean(kept, 1 - covered)
        losses = {"loss": masked + self.config.keep_weight * visible, "masked": masked, "visible": visible}
        if self.name is not None:
            named = F.cross_entropy(
                self.name(features.mean((2, 3))), label, ignore_index=UNKNOWN, reduction="none"
            )
            losses["loss"] = losses["loss"] + self.config.label_weight * named
            # also where it is none: processes that name other losses cannot add them up
            losses["label"] = named[label != UNKNOWN]
        return losses


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted means over (B, h, w), (B,)."""
    return (values * weights).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1e-6)


def _checkpoint_gradients(net: Any) -> None:
    if hasattr(net, "gradient_checkpointing_enable"):  # transformers
        net.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    else:
        net.set_grad_checkpointing(True)
