"""Appearances that normal cells have anywhere: how far a cell is from the nearest of them, wherever it lies.

The likelihood asks whether a cell looks as this image would lead one to expect at this place. On a part that is
itself a little unusual every cell is a little unexpected, and a wide defect hardly stands out from its surroundings.
Whether something of the kind was ever seen at any place errs otherwise, and a map of both is better than either. The
question is that of nearest-neighbour detectors (PatchCore: Roth et al. 2022, "Towards Total Recall in Industrial
Anomaly Detection", sections 3.1 and 3.3), asked here of a few hundred means instead of a memory of patches.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from likelihood.whitening import whitening_of

MOST_IMAGES = 2_000
"""Prototypes are made of the cells of at most this many images: more change nothing and would fill the memory."""

CELLS_EACH = 20
"""There are at most as many prototypes as give each this many cells: fewer would be learned by heart."""


class Prototypes(nn.Module):
    """Distance of each cell to the nearest prototype, in units of what normal cells have on average.

    Args:
        channels: d, features of a cell.
        count: K, prototypes.
    """

    mean: Tensor
    whitening: Tensor
    centres: Tensor

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("whitening", torch.eye(channels))
        self.register_buffer("centres", torch.zeros(count, channels))

    @property
    def count(self) -> int:
        """K."""
        return self.centres.shape[0]

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned (the whitening matrix is triangular)."""
        d = self.mean.numel()
        return d + d * (d + 1) // 2 + self.centres.numel()

    def forward(self, cells: Tensor) -> Tensor:
        """(B, d, g, g) features -> (B, g, g), >= 0, 1 on average on the cells of normal images."""
        return self.nearest(cells.flatten(2)).reshape(-1, *cells.shape[2:])

    def nearest(self, columns: Tensor) -> Tensor:
        """(B, d, n) features of n cells -> (B, n)."""
        white = self.whitening @ (columns - self.mean[:, None])
        # |u - c|^2 = |u|^2 - max of (2 u . c - |c|^2): one matrix product for all prototypes
        nearness = 2.0 * self.centres @ white - self.centres.square().sum(1, keepdim=True)
        return (white.square().sum(1) - nearness.amax(1)).clamp_min(0).sqrt()


class CellSample:
    """Cells of some images, the same ones in the same order whatever the batches were."""

    def __init__(self, places: np.ndarray) -> None:
        """places: those of the images to choose from."""
        self._chosen = np.random.default_rng(0).permutation(places)[:MOST_IMAGES]
        self._found: dict[int, Tensor] = {}

    def add(self, places: np.ndarray, cells: Tensor) -> None:
        """places: (B,) of the images that `cells`, (B, d, g, g), come from; those not chosen are passed over."""
        for row in np.flatnonzero(np.isin(places, self._chosen)):
            self._found[int(places[row])] = cells[row].flatten(1).T.clone()

    def rows(self) -> Tensor:
        """(N, d), image by image."""
        return torch.cat([self._found[place] for place in sorted(self._found)])


def fit_prototypes(cells: Tensor, count: int, floor: float) -> Prototypes:
    """k-means of whitened cells of normal images.

    Args:
        cells: (N, d).
        count: prototypes wanted; fewer if that would leave them less than `CELLS_EACH` cells each.
        floor: added to the diagonal of the cells' covariance, as a share of their mean variance.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    rows = cells.double()
    mean = rows.mean(0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    whitening = whitening_of(covariance, covariance.diagonal().mean(), floor)
    white = ((rows - mean) @ whitening.T).numpy()
    count = max(1, min(count, len(rows) // CELLS_EACH))
    # one thread: sums of several come in another order each time, and a run must give the same bytes again
    with threadpool_limits(limits=1):
        clusters = MiniBatchKMeans(count, random_state=0, batch_size=4096, n_init=1, max_iter=30).fit(white)
    found = Prototypes(rows.shape[1], count)
    found.mean.copy_(mean)
    found.whitening.copy_(whitening)
    found.centres.copy_(torch.from_numpy(clusters.cluster_centers_))
    distances = torch.cat([found.nearest(part.T[None])[0] for part in cells.float().split(4096)])
    unit = 1.0 / distances.mean().clamp_min(1e-6)
    found.whitening.mul_(unit)
    found.centres.mul_(unit)
    return found
