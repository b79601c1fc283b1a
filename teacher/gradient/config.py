"""Configuration of the teacher's adaptation by gradient descent (`teacher.gradient`)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wafer_data.augment import AugmentConfig


class TrainingConfig(BaseModel):
    """What both trainings share: length, steps, and when to stop."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    epochs: int = Field(10, ge=1, description="passes over the training images at most")
    images_per_epoch: int = Field(
        2000, ge=1, description="at most this many training images an epoch, drawn anew for each"
    )
    batch_size: int = Field(16, ge=1, description="images an optimiser step")
    gradient_accumulation: int = Field(
        1, ge=1, description="parts a batch is passed through the model in; more parts, less GPU memory"
    )
    learning_rate: float = Field(1e-3, gt=0, description="peak of the one-cycle cosine schedule (AdamW)")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW weight decay")
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    ema: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="decay of an exponential moving average of the weights, which is what is judged and kept; 0: off",
    )
    early_stopping: int = Field(
        3,
        ge=0,
        description="stop after this many epochs without a lower loss on held-out training normals; 0: never. The "
        "epoch with the lowest is kept either way",
    )
    held_out: float = Field(
        0.1, gt=0, lt=0.5, description="share of the training normals, fixed by the seed, that decide this"
    )

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"batch_size={self.batch_size} must be a multiple of gradient_accumulation="
                f"{self.gradient_accumulation}"
            )
        return self


class LoraConfig(TrainingConfig):
    """Low-rank adapters on the backbone, trained to tell synthetic anomalies from normal positions."""

    epochs: int = Field(5, ge=1, description="passes over the training images at most")
    rank: int = Field(8, ge=1, le=256, description="rank of each adapter")
    alpha: int = Field(16, ge=1, description="adapters are scaled by alpha / rank")
    target_modules: list[str] | None = Field(
        None,
        description="layers to adapt, by the end of their names (default: attention and MLP layers of transformers, "
        "otherwise the 1x1 convolutions); an unknown name lists what the backbone has",
    )
    preservation: float = Field(
        1.0,
        ge=0,
        description="weight of the penalty on changes of the features at normal positions, in squared standard "
        "deviations of each channel",
    )
    focal: float = Field(
        2.0, ge=0, description="focusing exponent of the focal loss (0: plain cross-entropy)"
    )
    synthetic_share: float = Field(
        0.7, gt=0, le=1, description="share of the images that get a synthetic anomaly"
    )
    augment: AugmentConfig = Field(
        default_factory=lambda: AugmentConfig(
            horizontal_flip=True, vertical_flip=True, brightness=0.05, contrast=0.1
        ),
        description="changes that leave a normal image normal",
    )
    workers: int = Field(
        0, ge=0, description="processes that make training images beside the training (0: none)"
    )


class DecoderConfig(TrainingConfig):
    """The bottleneck decoder, trained to reconstruct the features of normal images."""

    epochs: int = Field(30, ge=1, description="passes over the training images at most")
    learning_rate: float = Field(3e-3, gt=0, description="peak of the one-cycle cosine schedule (AdamW)")
    early_stopping: int = Field(
        6,
        ge=0,
        description="stop after this many epochs without a lower loss on held-out training normals; 0: never. The "
        "epoch with the lowest is kept either way",
    )
    hidden: int = Field(64, ge=8, multiple_of=8, description="channels inside the decoder")
    bottleneck_grid: int = Field(
        4,
        ge=1,
        le=64,
        description="side of the grid that features are squeezed to, at most the map's; the smaller, the less of a "
        "defect can pass",
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="share of the bottleneck's activations dropped during training"
    )
    squared_weight: float = Field(
        1.0,
        gt=0,
        description="weight of the squared error beside the cosine loss; it sets the scale, which the cosine leaves "
        "open and a residual needs",
    )
    easy_share: float = Field(
        0.9, ge=0, lt=1, description="share of best reconstructed positions whose gradient is reduced"
    )
    easy_gradient: float = Field(
        0.1, ge=0, le=1, description="factor on the gradient of those positions in the cosine loss"
    )
    easy_ramp: float = Field(
        0.2, gt=0, le=1, description="share of the training over which easy_share rises from 0"
    )
    residual_share: float = Field(
        0.1,
        gt=0,
        lt=0.5,
        description="share of the training normals that the decoder never sees; they tell how large its residuals "
        "really are",
    )


class GradientConfig(BaseModel):
    """Adaptation by gradient descent, before the likelihood is fitted in closed form."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    method: Literal["none", "lora", "decoder", "lora+decoder"] = Field(
        "none",
        description="lora: adapt the backbone to this surface with synthetic anomalies; decoder: reconstruct normal "
        "features through a bottleneck and judge what is left; none: closed form only",
    )
    lora: LoraConfig = Field(default_factory=LoraConfig, description="adapters on the backbone")
    decoder: DecoderConfig = Field(default_factory=DecoderConfig, description="the bottleneck decoder")
    bf16: bool = Field(True, description="train in bfloat16 where there is a GPU that has it")
    seed: int = Field(
        0, ge=0, description="seed of the initial weights, the order, the images and the dropout"
    )

    @property
    def uses_lora(self) -> bool:
        """Whether the backbone is adapted."""
        return self.method in ("lora", "lora+decoder")

    @property
    def uses_decoder(self) -> bool:
        """Whether a decoder is trained."""
        return self.method in ("decoder", "lora+decoder")
