"""The ELBO phase: posterior width and image decoder of a student whose trunk and encoder mean are settled.

The mean of q(z|x) is fixed at the closed-form optimum (probabilistic PCA, see `likelihood.model`), so the
latent that scores an image is the latent its reconstruction is drawn from. What is left of the bound
E_q[log p(x|z)] - KL(q(z|x) || p(z)) trains the variance head and the decoder. Only normal images take part: the
VAE is a model of what is normal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from distill.batches import epoch_batches, micro_batches
from distill.config import StageConfig
from distill.pool import Pool
from student_vae import StudentVAE
from student_vae.elbo import bernoulli_nll, kl_divergence, kl_weight, reparameterise
from student_vae.schedule import one_cycle
from wafer_data.progress import track


def train_elbo(
    student: StudentVAE,
    pool: Pool,
    config: StageConfig,
    seed: int,
    on_epoch: Callable[[int, dict[str, float]], None],
) -> None:
    """Train `student.log_variance` and `student.decoder` in place on the pool's untouched normals."""
    assert student.decoder is not None and student.log_variance is not None
    device = next(student.parameters()).device
    means, images = _normal_inputs(student, pool, device)
    trained = [*student.log_variance.parameters(), *student.decoder.parameters()]
    # log sigma^2 starts near the aggregate's 0 minus 2: narrow enough for the decoder to see z through the noise
    torch.nn.init.zeros_(student.log_variance.weight)
    torch.nn.init.constant_(student.log_variance.bias, -2.0)
    optimizer = torch.optim.AdamW(trained, lr=1.0, weight_decay=config.weight_decay)
    per_epoch = len(epoch_batches(np.arange(len(means)), config.batch_size, (seed, 7, 0)))
    steps = config.elbo_epochs * per_epoch
    generator = torch.Generator().manual_seed(seed)
    student.decoder.train()
    for epoch in track(range(config.elbo_epochs), "ELBO: posterior width and image decoder"):
        sums = np.zeros(2)
        beta = rate = 0.0
        batches = epoch_batches(np.arange(len(means)), config.batch_size, (seed, 7, epoch))
        for step, batch in enumerate(batches, epoch * per_epoch):
            rate = one_cycle(step, steps, config.elbo_learning_rate)
            beta = kl_weight(step, steps, config.kl_annealing, config.kl_weight)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            for rows in micro_batches(batch, min(config.gradient_accumulation, len(batch))):
                mean = means[rows]
                log_variance = student.log_variance_at(mean)
                noise = torch.randn(mean.shape, generator=generator).to(device)
                latent = reparameterise(mean, log_variance, noise)
                bce = bernoulli_nll(student.decoder(latent), images(rows)).sum()
                kl = kl_divergence(mean, log_variance).sum()
                ((config.bce_weight * bce + beta * kl) / len(batch)).backward()
                sums += (bce.item(), kl.item())
            # the loss is a sum over tens of thousands of pixels, and its gradient is as much larger
            torch.nn.utils.clip_grad_norm_(trained, config.gradient_clip * 1e3)
            optimizer.step()
        bce_mean, kl_mean = (sums / len(means)).tolist()
        on_epoch(epoch, {"bce": bce_mean, "kl": kl_mean, "kl_weight": beta, "learning_rate": rate})
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
