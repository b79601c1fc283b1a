"""The networks of published detectors, as onnxruntime sessions of one thread, to compare times with.

Weights at random: the time of a network does not depend on them. They say nothing about accuracy, and none is claimed.
Input of all: `image`, float32 (1, 3, 256, 256).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnxruntime as ort
import timm
import torch
from torch import Tensor, nn

SIZE = 256


def patchcore_features() -> ort.InferenceSession:
    """WideResNet-50-2 feature maps at strides 8 and 16.

    The feature extractor of PatchCore (Roth et al., "Towards total recall in industrial anomaly detection", 2022); the
    search in its memory bank comes on top and is not counted here.
    """
    return _session(
        timm.create_model("wide_resnet50_2", pretrained=False, features_only=True, out_indices=(2, 3))
    )


def efficient_ad_small() -> ort.InferenceSession:
    """EfficientAD-S: teacher, student and autoencoder of the published sizes, and the anomaly map from the three.

    Batzner, Heckler, Koenig, "EfficientAD: accurate visual anomaly detection at millisecond-level latencies", 2024:
    the patch description network of four convolutions, without padding, its output 56 x 56; the student with twice the
    channels; the autoencoder with its bottleneck of 64 numbers. Normalisation of the maps is left out.
    """
    return _session(EfficientADSmall())


class EfficientADSmall(nn.Module):
    """Image (N, 3, 256, 256) -> anomaly map (N, 1, 56, 56)."""

    def __init__(self, channels: int = 384) -> None:
        super().__init__()
        self.channels = channels
        self.teacher = patch_description_network(channels)
        self.student = patch_description_network(2 * channels)
        self.autoencoder = autoencoder(channels)

    def forward(self, image: Tensor) -> Tensor:
        """Mean squared difference of student and teacher, and of student and autoencoder, half of each."""
        student = self.student(image)
        local = (self.teacher(image) - student[:, : self.channels]) ** 2
        whole = (self.autoencoder(image) - student[:, self.channels :]) ** 2
        return (local + whole).mean(1, keepdim=True) / 2


def patch_description_network(channels: int) -> nn.Sequential:
    """The small network (PDN-S)."""
    return nn.Sequential(
        *(nn.Conv2d(3, 128, 4), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(128, 256, 4), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(256, 256, 3), nn.ReLU(), nn.Conv2d(256, channels, 4)),
    )


def autoencoder(channels: int) -> nn.Sequential:
    """Five halvings to 64 numbers, and back by seven bilinear enlargements with a convolution behind each."""
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 32), (32, 64), (64, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
    layers.append(nn.Conv2d(64, 64, 8))
    for side in (3, 8, 15, 32, 63, 127):
        layers += [nn.Upsample(side, mode="bilinear"), nn.Conv2d(64, 64, 4, padding=2), nn.ReLU()]
    layers += [nn.Upsample(56, mode="bilinear"), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(64, channels, 3, padding=1))


def _session(net: nn.Module) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.onnx"
        torch.onnx.export(
            net.eval(),
            (torch.rand(1, 3, SIZE, SIZE),),
            str(path),
            input_names=["image"],
            dynamo=False,
            opset_version=18,
        )
        return ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
