"""The whole student: pixels -> features -> latent -> likelihood, and the image the latent stands for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likelihood.answers import Answers
from likelihood.model import FeatureLikelihood, Scores
from student_vae.config import StudentConfig
from student_vae.decoder import ImageDecoder
from student_vae.trunk import Trunk
from wafer_data.image_size import IMAGE_SIZE, require_model_images


class StudentVAE(nn.Module):
    """A compact convolutional VAE whose decoder predicts features (Gaussian) and pixels (Bernoulli).

    q(z|x) = N(mu(x), diag sigma^2(x)); mu is the likelihood's linear encoder (the first coordinates of it, where the
    conditional mean uses more), sigma a linear head beside it.
    The score is the conditional feature likelihood at z = mu; the reconstruction is on request.

    Args:
        config: architecture.
        channels: d, features a position (directions of the teacher).
        coordinates: of the likelihood, actually fitted (fewer than configured with few images, more where a
            surface's symmetries multiply them); the latent is the first `config.likelihood.latent` of them.
        has_decoder: whether the ELBO phase ran.
        has_head: whether labelled defects taught a defect head.
        prototypes: of the heat map, actually fitted (`likelihood.prototypes`).
        answers: to further questions, which the trunk gives too (`likelihood.answers`); None: there are none.
        image_channels: C, planes of the images: 1 of grey, 3 of colour.
    """

    def __init__(
        self,
        config: StudentConfig,
        channels: int,
        coordinates: int,
        has_decoder: bool = True,
        has_head: bool = False,
        prototypes: int = 0,
        answers: Answers | None = None,
        image_channels: int = 1,
    ) -> None:
        super().__init__()
        self.config, self.channels, self.image_channels = config, channels, image_channels
        self.trunk = Trunk(config, channels + (answers.count if answers is not None else 0), image_channels)
        self.likelihood = FeatureLikelihood(
            config.likelihood, channels, config.map_size, coordinates, has_head, prototypes, answers
        )
        latent = self.likelihood.latent
        self.log_variance = nn.Linear(latent, latent) if has_decoder else None
        self.decoder = ImageDecoder(latent, config.input_size, image_channels) if has_decoder else None

    @property
    def input_size(self) -> int:
        """Side of the square the trunk sees, in pixels."""
        return self.config.input_size

    @property
    def parameter_count(self) -> int:
        """Every learned number: weights, latent heads, likelihood tables, image decoder."""
        learned = sum(p.numel() for p in self.parameters())
        return learned + self.likelihood.parameter_count

    def features(self, image: Tensor) -> Tensor:
        """(B, C, 256, 256) in [0, 1] -> (B, Q + d, map, map): Q answers, if there are any, then the directions."""
        return self.trunk(self.prepare(image))

    def prepare(self, image: Tensor) -> Tensor:
        """What the trunk sees of (B, C, 256, 256) in [0, 1]: shrunken, and centred to [-2, 2]."""
        if not torch.jit.is_tracing():
            require_model_images(image.shape, "a student", self.image_channels)
        return 4.0 * (self.shrink(image) - 0.5)

    def shrink(self, image: Tensor) -> Tensor:
        """(B, C, 256, 256) -> (B, C, input_size, input_size) by averaging whole blocks of pixels."""
        factor = IMAGE_SIZE // self.config.input_size
        return F.avg_pool2d(image, factor) if factor > 1 else image

    def score(self, image: Tensor) -> Scores:
        """Score, map and latent of (B, C, 256, 256) images in [0, 1]."""
        return self.likelihood(self.features(image))

    forward = score

    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x), both (B, k)."""
        if self.log_variance is None:
            raise RuntimeError("this student was trained without the ELBO phase")
        directions = self.likelihood.directions_of(features)
        mean = self.likelihood.encode(directions)[:, : self.likelihood.latent]
        return mean, self.log_variance_at(mean)

    def log_variance_at(self, mean: Tensor) -> Tensor:
        """Log sigma^2 of q(z|x) where its mean is `mean`, (B, k): how sure the encoder is depends on what it sees."""
        assert self.log_variance is not None
        # a sigma within [e^-5, e^2.5] keeps the first steps finite and costs nothing later
        return self.log_variance(mean).clamp(-10.0, 5.0)

    @torch.no_grad()
    def reconstruct(self, latent: Tensor) -> Tensor:
        """(B, k) -> (B, C, input_size, input_size) in [0, 1]."""
        if self.decoder is None:
            raise RuntimeError("this student was trained without the ELBO phase")
        return torch.sigmoid(self.decoder(latent))
