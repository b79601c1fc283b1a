"""The image decoder: latent in, Bernoulli means of the pixels out."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from student_vae.trunk import conv_block


class ImageDecoder(nn.Module):
    """(B, k) -> logits of (B, image_channels, size, size) pixels.

    Of colour images it draws the colours, not their luminance alone: a person compares the drawing with the image,
    and a latent that need not tell hues would say nothing of a defect that is only a hue. It costs two more outputs of
    the last layer.

    Starts on a 4x4 grid, doubles four times, and unfolds the last factor with a pixel shuffle (Shi et al. 2016),
    which costs a fraction of transposed convolutions at full resolution.
    """

    def __init__(self, latent: int, size: int, image_channels: int = 1) -> None:
        super().__init__()
        factor = max(1, size // 64)
        self.channels = 32 if size >= 256 else 16
        c = self.channels
        self.start = nn.Linear(latent, c * 4 * 4)
        self.stages = nn.ModuleList([conv_block(i, o) for i, o in ((c, c), (c, 16), (16, 16), (16, 16))])
        self.last = nn.Conv2d(16, image_channels * factor**2, 3, 1, 1)
        self.shuffle = nn.PixelShuffle(factor)
        self.size, self.image_channels = size, image_channels

    def forward(self, latent: Tensor) -> Tensor:
        """(B, latent) -> the images that the latents describe."""
        x = self.start(latent).reshape(-1, self.channels, 4, 4)
        for stage in self.stages:
            x = stage(F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.shuffle(self.last(x))
