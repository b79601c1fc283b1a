"""The student's convolutional trunk: grey or colour image in, imitated teacher features out."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from student_vae.config import StudentConfig


def conv_norm(inputs: int, outputs: int, stride: int = 1, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    """Convolution and batch normalisation (folded at export)."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def conv_block(inputs: int, outputs: int, stride: int = 1, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(*conv_norm(inputs, outputs, stride, kernel, groups), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016, figure 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_block(channels, channels)
        self.second = conv_norm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        return F.relu(x + self.second(self.first(x)))


class InvertedBlock(nn.Module):
    """1x1 to `expansion` times the channels, depthwise 3x3, 1x1 back, around a shortcut.

    After Sandler et al. 2018, "MobileNetV2", figure 3b.
    """

    def __init__(self, channels: int, expansion: int = 2) -> None:
        super().__init__()
        inner = expansion * channels
        self.widen = conv_block(channels, inner, kernel=1)
        self.depthwise = conv_block(inner, inner, groups=inner)
        self.narrow = conv_norm(inner, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        return x + self.narrow(self.depthwise(self.widen(x)))


_STEM = {1: [48], 2: [16, 48], 3: [16, 32, 48], 4: [8, 16, 32, 48]}


def make_block(config: StudentConfig, channels: int) -> nn.Module:
    """One block of the configured kind."""
    if config.block == "inverted":
        return InvertedBlock(channels, config.expansion)
    return ResidualBlock(channels)


class Trunk(nn.Module):
    """Strided stem down to the map's resolution, a branch at half of it, and a 1x1 head over both.

    Forward: (B, image_channels, input_size, input_size) in about [-2, 2] -> (B, channels, map_size, map_size).
    """

    def __init__(self, config: StudentConfig, channels: int, image_channels: int = 1) -> None:
        super().__init__()
        stem_channels, deep_channels = self._widths(config)
        stem: list[nn.Module] = []
        inputs = image_channels
        for index, outputs in enumerate(stem_channels):
            # a first 5x5 kernel sees enough context to skip the noise of single pixels at full resolution
            wide = index == 0 and config.input_size >= 256
            stem.append(conv_block(inputs, outputs, stride=2, kernel=5 if wide else 3))
            inputs = outputs
        self.stem = nn.Sequential(*stem)
        self.fine = nn.Sequential(*(make_block(config, inputs) for _ in range(config.fine_blocks)))
        self.down = conv_block(inputs, deep_channels, stride=2)
        self.deep = nn.Sequential(*(make_block(config, deep_channels) for _ in range(config.deep_blocks)))
        self._head_inputs = [inputs, deep_channels]
        self.head = nn.Conv2d(inputs + deep_channels, channels, 1)

    @staticmethod
    def _widths(config: StudentConfig) -> tuple[list[int], int]:
        """Channels of the strided stem layers and of the deep branch."""
        # the last stem layer has the most channels, each one before it fewer: cost per layer stays level
        base = config.channels or [*_STEM[config.halvings], 64]
        *stem, deep = (max(4, round(c * config.width)) for c in base)
        return stem, deep

    @property
    def branch_channels(self) -> tuple[int, int]:
        """Channels in which the branch at the map's resolution and the one at half of it end."""
        fine, deep = self._head_inputs
        return fine, deep

    def forward(self, x: Tensor) -> Tensor:
        """(B, image_channels, S, S) images -> features (B, d, map, map)."""
        fine = self.fine(self.stem(x))
        of_fine, of_deep, bias = self.head_parts()
        deep = F.conv2d(self.deep(self.down(fine)), of_deep)
        deep = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        return F.conv2d(fine, of_fine, bias) + deep

    def head_parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """The head's weights for the map and for the branch at half of it, (channels, inputs, 1, 1), and its bias.

        A 1x1 convolution and an enlargement may change places: so the branch goes through the head first, where it has
        fewer pixels, and is enlarged after it, where it has fewer channels.
        """
        of_fine, of_deep = self.head.weight.split(self._head_inputs, 1)
        assert self.head.bias is not None
        return of_fine, of_deep, self.head.bias
