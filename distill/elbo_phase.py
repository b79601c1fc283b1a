"""The ELBO phase: posterior width and image decoder of a student whose trunk and encoder mean are settled.

The mean of q(z|x) is fixed at the closed-form optimum (probabilistic PCA, see `likelihood.model`), so the
latent that scores an image is the latent its reconstruction is drawn from. What is left of the bound
E_q[log p(x|z)] - KL(q(z|x) || p(z)) trains the variance head and the decoder. Only normal images take part: the
VAE is a model of what is normal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from distill.config import StageConfig
from distill.pool import Pool
from student_vae import StudentVAE
from student_vae.elbo import bernoulli_nll, kl_divergence, kl_weight, reparameterise
from training.batches import epoch_batches
from training.loop import Inputs, Part, Settings, Training, train


class Elbo(nn.Module):
    """The two networks that this phase trains; `forward` returns the terms of the bound, negated, in nats an image."""

    def __init__(self, student: StudentVAE, bce_weight: float) -> None:
        super().__init__()
        assert student.decoder is not None and student.log_variance is not None
        self.log_variance, self.decoder, self.bce_weight = student.log_variance, student.decoder, bce_weight
        self._log_variance_at = student.log_variance_at

    def forward(self, mean: Tensor, images: Tensor, noise: Tensor, beta: Tensor) -> dict[str, Tensor]:
        """Posterior means (B, k), shrunken images (B, 1, S, S), standard normal noise (B, k), weight of the KL term."""
        log_variance = self._log_variance_at(mean)
        bce = bernoulli_nll(self.decoder(reparameterise(mean, log_variance, noise)), images)
        kl = kl_divergence(mean, log_variance)
        return {"loss": self.bce_weight * bce + beta * kl, "bce": bce, "kl": kl}


def train_elbo(
    student: StudentVAE,
    pool: Pool,
    config: StageConfig,
    seed: int,
    on_epoch: Callable[[int, dict[str, float]], None],
    checkpoint_dir: Path | None = None,
) -> None:
    """Train `student.log_variance` and `student.decoder` in place on the pool's untouched normals.

    With `checkpoint_dir` a phase that was killed goes on from its last epoch.
    """
    assert student.log_variance is not None
    means, images = _normal_inputs(student, pool, next(student.parameters()).device)
    rows = np.arange(len(means))
    # log sigma^2 starts near the aggregate's 0 minus 2: narrow enough for the decoder to see z through the noise
    torch.nn.init.zeros_(student.log_variance.weight)
    torch.nn.init.constant_(student.log_variance.bias, -2.0)
    generator = torch.Generator().manual_seed(seed)

    def beta_at(step: int, steps: int) -> float:
        return kl_weight(step, steps, config.kl_annealing, config.kl_weight)

    def inputs(parts: list[Part]) -> Iterator[Inputs]:
        for part in parts:
            chosen = np.sort(part.rows)
            mean = means[chosen]
            noise = torch.randn(mean.shape, generator=generator)
            yield mean, images(chosen), noise, torch.tensor(beta_at(part.step, part.steps))

    training = Training(
        title="ELBO: posterior width and image decoder",
        section="distill",
        remedy="set elbo_epochs=0 for this stage: it draws reconstructions, and no decision rests on them",
        task=Elbo(student, config.bce_weight),
        inputs=inputs,
        steps_of=lambda epoch: epoch_batches(rows, config.batch_size, (seed, 7, epoch)),
        # the loss is a sum over tens of thousands of pixels, and its gradient is as much larger
        settings=Settings.of(
            config,
            epochs=config.elbo_epochs,
            learning_rate=config.elbo_learning_rate,
            gradient_clip=config.gradient_clip * 1e3,
            ema=0.0,
            early_stopping=0,
        ),
        generator=generator,
    )
    steps = config.elbo_epochs * len(training.steps_of(0))

    def logged(epoch: int, row: dict[str, float]) -> None:
        beta = beta_at((epoch + 1) * steps // config.elbo_epochs - 1, steps)
        on_epoch(
            epoch,
            {"bce": row["bce"], "kl": row["kl"], "kl_weight": beta, "learning_rate": row["learning_rate"]},
        )

    train(training, checkpoint_dir, on_epoch=logged)
    student.eval()


@torch.no_grad()
def _normal_inputs(
    student: StudentVAE, pool: Pool, device: torch.device
) -> tuple[Tensor, Callable[[np.ndarray], Tensor]]:
    """Posterior means of the untouched normals, (N, k), and a function that reads their shrunken images."""
    rows = []
    for start in range(0, pool.originals, 32):
        batch = pool.batch(np.arange(start, min(start + 32, pool.originals)))
        rows.append(student.score(torch.from_numpy(batch).to(device)).latent)

    def images(indices: np.ndarray) -> Tensor:
        return student.shrink(torch.from_numpy(pool.batch(indices)).to(device))

    return torch.cat(rows), images
