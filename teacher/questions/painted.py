"""Does a cell look like a defect? A small network on the features, taught by painted defects and by noise.

It sees what no description of normal images can: which changes are defects although they are small. Painted defects
are not real ones, so its word counts as far as it finds kinds that it was not taught (`teacher.questions.trial`).
Noise on the features of normal cells as anomalies is SimpleNet's (Liu et al. 2023, "SimpleNet: A Simple Network for
Image Anomaly Detection and Localization", section 3.3), both together SuperSimpleNet's (Rolih et al. 2024).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH = 768
"""Cells of each kind a step."""
RATE = 3e-3


class PaintedHead(nn.Module):
    """Log odds that a cell shows a defect.

    Args:
        channels: d, features of a cell.
        hidden: units of the only hidden layer.
    """

    scale: Tensor

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(channels))
        self.hidden = nn.Linear(channels, hidden)
        self.out = nn.Linear(hidden, 1)

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned."""
        return self.scale.numel() + sum(p.numel() for p in self.parameters())

    def forward(self, features: Tensor) -> Tensor:
        """(B, d, h, h) -> (B, h, h)."""
        return self.cells(features.permute(0, 2, 3, 1))

    def cells(self, rows: Tensor) -> Tensor:
        """(..., d) -> (...)."""
        return self.out(F.relu(self.hidden(rows * self.scale)))[..., 0]


def fit_painted(
    normal: Tensor, beside: Tensor, defective: Tensor, hidden: int, steps: int, noise: float, seed: int
) -> PaintedHead:
    """Train the network by logistic regression with AdamW on equally many cells of each kind.

    Args:
        normal: (N, d) cells of normal images.
        beside: (M, d) cells of painted images that the paint has left alone.
        defective: (K, d) painted cells.
        hidden, steps, noise: see `QuestionsConfig`.
        seed: of the initial weights and all draws.
    """
    generator = torch.Generator().manual_seed(seed)
    found = PaintedHead(normal.shape[1], hidden)
    found.scale.copy_(1.0 / normal[:20_000].float().std(0).clamp_min(1e-4))
    for layer in (found.hidden, found.out):
        bound = 1.0 / math.sqrt(layer.in_features)
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
    optimizer = torch.optim.AdamW(found.parameters(), lr=RATE, weight_decay=1e-3)
    spread = noise / found.scale

    def drawn(rows: Tensor) -> Tensor:
        return rows[torch.randint(len(rows), (BATCH,), generator=generator)].float()

    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        ordinary = drawn(normal)
        # strengths from a third of the noise to four times as much, evenly on a logarithmic scale
        strength = torch.exp(torch.empty(BATCH, 1).uniform_(-1.1, 1.4, generator=generator))
        noisy = ordinary + strength * spread * torch.randn(ordinary.shape, generator=generator)
        no = torch.cat([ordinary, drawn(beside)])
        loss = F.softplus(found.cells(no)).mean() + F.softplus(-found.cells(drawn(defective))).mean()
        if noise:
            loss = loss + 0.5 * F.softplus(-found.cells(noisy)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found.eval().requires_grad_(False)
