"""What the adapters train on: augmented normals, most with a synthetic anomaly, and what each map cell then is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from teacher.gradient.config import LoraConfig
from training.loop import Inputs
from wafer_data.augment import augment
from wafer_data.imaging.planes import stacked
from wafer_data.store import ImageStore
from wafer_data.synthetic import add_random_anomaly

NORMAL, ANOMALOUS, UNDECIDED = 0, 1, -1
ENOUGH = 0.25
"""A cell that an anomaly covers to this share is anomalous."""


def cell_labels(mask: Tensor, map_size: int) -> Tensor:
    """(B, 1, S, S) masks, 0 or 1, to int8 labels of the map's cells, (B, map_size, map_size).

    ANOMALOUS: covered to a quarter, or to half as much as the cell of that image that is covered most (a scratch
    fills no cell). UNDECIDED: other cells that the anomaly touches, and neighbours of anomalous ones, whose
    features see it too. NORMAL: the rest.
    """
    covered = F.adaptive_avg_pool2d(mask.float(), map_size)
    most = covered.amax((1, 2, 3), keepdim=True)
    anomalous = (covered > 0) & (covered >= (most / 2).clamp_max(ENOUGH))
    near = F.max_pool2d(((covered > 0) | anomalous).float(), 3, 1, 1) > 0
    labels = torch.where(near, UNDECIDED, NORMAL)
    return torch.where(anomalous, ANOMALOUS, labels)[:, 0].to(torch.int8)


class Examples(Dataset[Inputs]):
    """Inputses of one epoch; each image depends on the seed, the epoch and its row alone.

    Args:
        normals: the store's indices of the training normals; rows count these.
        batches: rows of each batch.
        epoch: None for the held-out images, which are the same each time.
    """

    def __init__(
        self,
        store: ImageStore,
        normals: np.ndarray,
        batches: list[np.ndarray],
        epoch: int | None,
        config: LoraConfig,
        map_size: int,
        seed: int,
    ) -> None:
        self.store, self.normals, self.batches = store, normals, batches
        self.draw = (seed, 21, 0) if epoch is None else (seed, 22, epoch)
        self.config, self.map_size = config, map_size

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Inputs:
        """(B, C, S, S) images in [0, 1] and the (B, map_size, map_size) labels of their cells."""
        pairs = [self._example(int(row)) for row in self.batches[number]]
        images, masks = (torch.from_numpy(stacked(part)) for part in zip(*pairs, strict=True))
        return images, cell_labels(masks, self.map_size)

    def _example(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((*self.draw, row))
        donor = self.store.pixels(int(rng.choice(self.normals)))
        image = augment(self.store.pixels(int(self.normals[row])), rng, self.config.augment)
        if rng.random() >= self.config.synthetic_share:
            return image, np.zeros(image.shape[-2:], bool)
        return add_random_anomaly(image, rng, donor)[:2]


def load(examples: Examples, workers: int) -> Iterable[Inputs]:
    """The batches in order, made in the background by `workers` processes if there are any."""
    # a generator of its own: the loader draws from it, and the training's generator must not depend on that
    return DataLoader(examples, batch_size=None, num_workers=workers, generator=torch.Generator())
