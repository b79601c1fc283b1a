"""Configuration of continued pretraining (`teacher.pretrain`)."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wafer_data.home import PathText


class PretrainConfig(BaseModel):
    """Continued pretraining of the backbone, before it is adapted. Off unless `enabled`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    enabled: bool = Field(False, description="whether the stage `pretrain` runs before `adapt`")
    archives: list[PathText] = Field(
        default_factory=list,
        description="further images of any tool, layer and recipe, labelled or not: folders of images, or Parquet or "
        "tar archives, also on an object store (s3://...). The run's own training images always take part; test images "
        "never",
    )
    epochs: int = Field(10, ge=1, description="epochs")
    images_per_epoch: int = Field(
        20_000, ge=1, description="at most this many images an epoch, drawn anew for each"
    )
    batch_size: int = Field(32, ge=1, description="images an optimiser step, over all processes")
    gradient_accumulation: int = Field(
        1, ge=1, description="parts of a batch that are computed one after another"
    )
    learning_rate: float = Field(1e-4, gt=0, description="peak of the one-cycle cosine schedule (AdamW)")
    weight_decay: float = Field(0.05, ge=0, description="AdamW weight decay")
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    early_stopping: int = Field(
        0, ge=0, description="stop after this many epochs without a lower held-out loss; 0: never"
    )
    held_out: float = Field(0.05, gt=0, lt=0.5, description="share of the images that choose the best epoch")
    checkpoint_epochs: int = Field(
        1, ge=1, description="epochs between checkpoints, from which a killed run goes on"
    )
    mask_ratio: float = Field(0.6, gt=0, lt=1, description="share of the image that is hidden")
    mask_size: int = Field(32, ge=8, description="side in pixels of a hidden block")
    keep_weight: float = Field(
        1.0,
        ge=0,
        description="weight of the loss where the image is visible: how strongly the features stay those of the ready "
        "weights",
    )
    label_weight: float = Field(
        0.1,
        ge=0,
        description="weight of naming normal images and defect types, where labels are known; 0: no labels",
    )
    bf16: bool = Field(True, description="compute in bfloat16 where a GPU can")
    gradient_checkpointing: bool = Field(
        False, description="compute activations again instead of keeping them: less memory"
    )

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_size % self.gradient_accumulation:
            raise ValueError("batch_size must be a multiple of gradient_accumulation")
        return self
