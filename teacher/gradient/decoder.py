"""The bottleneck decoder: a map of normal features through a narrow, noisy passage and back.

It belongs to the family of reverse distillation (Deng & Li 2022, "Anomaly Detection via Reverse Distillation from
One-Class Embedding") and Dinomaly (Guo et al. 2025, "Dinomaly: The Less Is More Philosophy in Multi-Class
Unsupervised Anomaly Detection"). Followed: a frozen encoder; a trainable bottleneck and a decoder that see normal
images only; a bottleneck narrower than the features (reverse distillation); a bottleneck that is an MLP with
dropout before, inside and after it (Dinomaly, "noisy bottleneck"); a cosine loss over the whole map, in which well
reconstructed positions count less, and several depths reconstructed as one group, not layer by layer (Dinomaly,
"loose" loss and constraint). Not followed: the decoder is a small convolutional network, neither a mirrored ResNet
nor transformer blocks with linear attention; what is reconstructed is the one map of projected features that the
likelihood judges; a squared error is added, because here the output is the mean of a Gaussian and needs a scale;
and the score is the likelihood of the residual, not a cosine distance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.tensors import load_weights, save_tensors
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json

SCHEMA = 1


class BottleneckDecoder(nn.Module):
    """Features of an image to what they would be if the image were normal, (B, d, h, h) -> (B, d, h, h).

    Args:
        channels: d, features a position.
        map_size: h, side of the map.
        hidden: channels inside, a multiple of 8.
        bottleneck_grid: side of the grid in the middle; the map is halved until it is no larger.
        dropout: of the bottleneck, in training mode only.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, channels: int, map_size: int, hidden: int = 64, bottleneck_grid: int = 4, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.channels, self.map_size, self.hidden = channels, map_size, hidden
        self.bottleneck_grid, self.dropout = bottleneck_grid, dropout
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))
        sides = [map_size]
        while sides[-1] > bottleneck_grid:
            sides.append(-(-sides[-1] // 2))
        self.sides = sides[-2::-1]
        """Sides of the map after each stage of the way back."""
        self.enter = nn.Conv2d(channels, hidden, 1)
        self.down = nn.ModuleList(_block(hidden, stride=2) for _ in self.sides)
        self.bottleneck = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv2d(hidden, 2 * hidden, 1),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Conv2d(2 * hidden, hidden, 1),
            nn.Dropout(dropout),
        )
        # what is usual at a place, for parts that always lie the same way
        self.place = nn.Parameter(torch.zeros(1, hidden, sides[-1], sides[-1]))
        self.up = nn.ModuleList(_block(hidden) for _ in self.sides)
        self.leave = nn.Conv2d(hidden, channels, 1)

    @property
    def parameter_count(self) -> int:
        """Every learned number."""
        return sum(p.numel() for p in self.parameters()) + self.mean.numel() + self.std.numel()

    def forward(self, features: Tensor) -> Tensor:
        """The reconstruction of (B, d, h, h) features, in their own scale."""
        x = self.enter((features - self.mean) / self.std)
        for block in self.down:
            x = block(x)
        x = self.bottleneck(x) + self.place
        for side, block in zip(self.sides, self.up, strict=True):
            x = block(F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False))
        return self.leave(x) * self.std + self.mean

    def describe(self) -> dict[str, Any]:
        """What `rebuild_decoder` needs to make the same architecture."""
        names = ("channels", "map_size", "hidden", "bottleneck_grid", "dropout")
        return {name: getattr(self, name) for name in names}


def _block(channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride, 1, bias=False), nn.GroupNorm(8, channels), nn.GELU()
    )


def rebuild_decoder(description: dict[str, Any]) -> BottleneckDecoder:
    """A decoder from `BottleneckDecoder.describe`, frozen, in evaluation mode, its weights at random."""
    return BottleneckDecoder(**description).requires_grad_(False).eval()


def save_decoder(decoder: BottleneckDecoder, directory: Path) -> None:
    """Write `decoder.safetensors` and `decoder.json` into an existing folder."""
    save_tensors(decoder.state_dict(), directory / "decoder.safetensors")
    about = {"schema": SCHEMA, "decoder": decoder.describe(), "parameters": decoder.parameter_count}
    write_json(directory / "decoder.json", about)


def load_decoder(directory: str | Path) -> BottleneckDecoder:
    """Read what `save_decoder` wrote, frozen and in evaluation mode.

    Raises:
        InputError: a file is missing, broken or of another schema.
    """
    directory = Path(directory)
    about = read_json(directory / "decoder.json")
    if about.get("schema") != SCHEMA:
        raise InputError(f"{directory / 'decoder.json'}: schema {about.get('schema')}, expected {SCHEMA}")
    decoder = rebuild_decoder(about["decoder"])
    load_weights(decoder, directory / "decoder.safetensors")
    return decoder
