"""Configuration of the distillation stages."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from student_vae.config import LikelihoodConfig, StudentConfig
from wafer_data.augment import AugmentConfig

STAGES = ("intermediate", "target", "full", "lowres")


class StageConfig(BaseModel):
    """One distillation stage: who learns, for how long, with which weights on the losses."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    student: StudentConfig = Field(
        default_factory=StudentConfig, description="architecture of the model that learns"
    )
    teacher: Literal["teacher", "intermediate", "target"] = Field(
        "teacher", description="whose features are imitated"
    )
    start_from: Literal["intermediate", "target"] | None = Field(
        None,
        description="begin with this stage's trunk weights (needs the same architecture) instead of at random",
    )
    epochs: int = Field(10, ge=1, description="passes over the training pool")
    batch_size: int = Field(16, ge=2, description="images a step, over all processes")
    learning_rate: float = Field(3e-3, gt=0, description="peak of the one-cycle cosine schedule (AdamW)")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW weight decay")
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    elbo_epochs: int = Field(
        10,
        ge=0,
        description="epochs of the ELBO phase over the training normals (trunk fixed); 0: no image decoder",
    )
    elbo_learning_rate: float = Field(2e-3, gt=0, description="peak learning rate of the ELBO phase")
    bce_weight: float = Field(
        1.0, ge=0, description="weight of the Bernoulli reconstruction term (nats an image)"
    )
    kl_weight: float = Field(
        1.0, ge=0, description="weight of the KL term at the end of its annealing (1: the ELBO)"
    )
    kl_annealing: float = Field(
        0.5, ge=0, le=1, description="share of the ELBO steps over which the KL weight rises from 0"
    )


class PoolConfig(BaseModel):
    """The images that the stages train on, made once a run from the training normals."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    generated: int = Field(1600, ge=0, description="augmented copies of training normals in the pool")
    synthetic_share: float = Field(
        0.6, ge=0, le=1, description="share of the copies that get a synthetic anomaly"
    )
    max_originals: int = Field(20000, ge=20, description="at most this many training normals enter the pool")
    augment: AugmentConfig = Field(
        default_factory=lambda: AugmentConfig(
            horizontal_flip=True, vertical_flip=True, brightness=0.05, contrast=0.1
        ),
        description="changes that leave a normal image normal; they widen what is imitated and never enter the fit "
        "of the likelihood",
    )


def _intermediate() -> StageConfig:
    student = StudentConfig(width=1.5, fine_blocks=1, deep_blocks=2)
    return StageConfig(student=student, epochs=6, elbo_epochs=0)


def _target() -> StageConfig:
    student = StudentConfig(width=1.5, fine_blocks=1, deep_blocks=2)
    return StageConfig(
        student=student, start_from="intermediate", epochs=2, learning_rate=1e-3, elbo_epochs=0
    )


def _full() -> StageConfig:
    likelihood = LikelihoodConfig(latent_grid=8, mean_grid=32)
    return StageConfig(
        student=StudentConfig(directions=8, likelihood=likelihood), teacher="target", epochs=12
    )


def _lowres() -> StageConfig:
    likelihood = LikelihoodConfig(latent=112, latent_grid=8, mean_grid=16)
    student = StudentConfig(input_size=128, map_size=16, width=0.9, directions=8, likelihood=likelihood)
    return StageConfig(student=student, teacher="target", epochs=16)


class DistillConfig(BaseModel):
    """All stages, the training pool they share and how the runs are tracked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    pool: PoolConfig = Field(default_factory=PoolConfig, description="training images")
    intermediate: StageConfig = Field(
        default_factory=_intermediate, description="teacher -> intermediate model"
    )
    target: StageConfig = Field(default_factory=_target, description="intermediate -> target (fine-tuning)")
    full: StageConfig = Field(default_factory=_full, description="target -> full-resolution student")
    lowres: StageConfig = Field(default_factory=_lowres, description="target -> low-resolution student")
    mixed_precision: Literal["no", "bf16"] = Field("no", description="bf16 on GPUs that have it")
    wandb: Literal["offline", "online", "disabled"] = Field(
        "offline", description="offline writes a local wandb run and sends nothing; online needs your account"
    )
    checkpoint_epochs: int = Field(
        1, ge=1, description="epochs between checkpoints that a killed run resumes from"
    )
    keep_cache: bool = Field(
        False, description="keep the pool and its cached teacher features after the last stage"
    )
    seed: int = Field(0, ge=0, description="seed of the pool, the initial weights and the order of images")

    @model_validator(mode="after")
    def _fits_together(self) -> DistillConfig:
        order = {"teacher": -1, **{name: i for i, name in enumerate(STAGES)}}
        for i, name in enumerate(STAGES):
            stage: StageConfig = getattr(self, name)
            for key, other in (("teacher", stage.teacher), ("start_from", stage.start_from)):
                if other is not None and order[other] >= i:
                    raise ValueError(f"distill.{name}.{key}={other}: that stage runs later than {name}")
            if stage.start_from and stage.student.directions:
                raise ValueError(
                    f"distill.{name}.start_from needs a whole head: leave student.directions empty"
                )
            if stage.start_from and getattr(self, stage.start_from).student != stage.student:
                raise ValueError(
                    f"distill.{name}.start_from={stage.start_from} needs distill.{name}.student to be the same as "
                    f"distill.{stage.start_from}.student"
                )
        if self.full.student.input_size <= self.lowres.student.input_size:
            raise ValueError(
                "distill.lowres.student.input_size must be smaller than distill.full.student.input_size"
            )
        return self
