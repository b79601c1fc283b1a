"""The configuration of an evaluation."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from eval.tradeoff.config import FabConfig

Baseline = Literal["pca", "gabor_lbp_ocsvm", "pixel_vae"]


class PixelVaeConfig(BaseModel):
    """How the plain pixel VAE baseline is trained; its layers are fixed, see `configs/reference_vae.yaml`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    epochs: int = Field(default=10, ge=1, description="Passes over its training images.")
    images: int = Field(
        default=256,
        ge=2,
        description="At most this many training normals (drawn by seed) train it: all of them would take longer "
        "than the students. 100 images take about 10 s an epoch on one core.",
    )
    latent: int = Field(default=128, ge=1, le=1024, description="Dimension of the latent.")
    batch_size: int = Field(default=16, ge=2, description="Images a step.")
    learning_rate: float = Field(
        default=1e-3, gt=0, description="Peak of the one-cycle cosine schedule (AdamW)."
    )
    gradient_clip: float = Field(
        default=2e4,
        gt=0,
        description="Largest gradient norm of the loss in nats an image, a sum over all pixels; at 256 px ordinary "
        "batches reach about 1e4.",
    )
    kl_weight: float = Field(
        default=1.0, ge=0, description="Weight of the KL term at the end of its annealing (1: the ELBO)."
    )
    kl_annealing: float = Field(
        default=0.5, ge=0, le=1, description="Share of all steps over which the KL weight rises from 0."
    )


class EvalConfig(BaseModel):
    """What is compared with the trained models, and how precisely it is measured."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    baselines: list[Baseline] = Field(
        default=["pca", "gabor_lbp_ocsvm"],
        description="Baselines fitted on the training normals and scored on the same test images. There is pixel_vae, "
        "too: it takes longer than both students and is left out unless asked for (`configs/reference_vae.yaml`).",
    )
    baseline_images: int = Field(
        default=2000, ge=20, description="At most this many training normals (drawn by seed) fit a baseline."
    )
    pca_components: int = Field(
        default=50, ge=1, description="Principal components kept by the PCA baseline."
    )
    pca_variants: list[Annotated[int, Field(ge=1)]] = Field(
        default=[10, 50, 100, 200],
        description="Numbers of components for which the PCA baseline is also judged, in `baselines.json`; those that "
        "the training normals cannot carry are left out.",
    )
    pixel_vae: PixelVaeConfig = Field(
        default_factory=PixelVaeConfig, description="Training of the plain pixel VAE baseline."
    )
    latency_runs: int = Field(
        default=200, ge=10, description="Timed calls a model, one image each, on one thread."
    )
    bootstrap: int = Field(
        default=1000, ge=100, description="Bootstrap resamples behind each 95 % interval in the report."
    )
    worst: int = Field(
        default=8, ge=0, description="Worst misses and worst false alarms shown with their heat maps, each."
    )
    study_seconds: float = Field(
        default=40.0,
        ge=0,
        description="Seconds after which the report's study of time against accuracy begins no further setting; 0 "
        "leaves it out. `waferroute report` measures in full.",
    )
    fab: FabConfig = Field(
        default_factory=FabConfig,
        description="The line whose month the report computes, and its time budgets.",
    )
    seed: int = Field(default=0, description="Seed of the bootstrap and of the baselines.")
