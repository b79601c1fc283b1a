"""Configuration of the distillation stages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from likelihood.config import LevelConfig, LikelihoodConfig
from router.route_scores import STUDENTS
from student_vae.config import StudentConfig
from wafer_data.augment import AugmentConfig

_ALL = 1_000_000  # more directions than any teacher has
STAGES = ("intermediate", "target", "full", "lowres")
ASKED_COPIES = 3
"""Times as many copies at least, where more is asked than places: what a look tells takes more examples to learn."""
ASKED_SHAPES: dict[str, dict[str, Any]] = {
    "full": {
        "input_size": 256,
        "map_size": 32,
        "block": "inverted",
        "channels": [16, 24, 48, 64],
        "fine_blocks": 2,
        "deep_blocks": 2,
        "expansion": 2,
    },
    "lowres": {
        "map_size": 32,
        "channels": [12, 24, 48],
        "fine_blocks": 1,
        "deep_blocks": 2,
        "expansion": 2,
    },
}
"""Of the students, where more is asked than places. At a place a low-resolution cell of 16 pixels is told by what is
expected there; wherever it may lie, a small defect in so large a cell is not. What a look tells takes more layers than
residual blocks give for the same time (docs/LOG.md)."""
LOOSE_LIKELIHOOD: dict[str, Any] = {
    "latent_grid": 4,
    "latent_directions": None,
    "levels": [LevelConfig(directions=16), LevelConfig(grid=16, directions=3, mean_grid=16)],
}
"""Of the low-resolution student's likelihood, where a surface lies otherwise in every image. What a latent of the
coarse level's own cells says in 16 directions is enough where every image shows the same place; which place an image
shows is said by all directions of wider cells (docs/LOG.md)."""


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
    copies: int = Field(
        1,
        ge=1,
        description="this stage's pool has that many times distill.pool.generated augmented copies",
    )
    epochs: int = Field(10, ge=1, description="passes over the training pool")
    batch_size: int = Field(
        16,
        ge=2,
        description="images a step, over all processes and micro-batches together, so that neither changes what "
        "is learned",
    )
    gradient_accumulation: int = Field(
        1,
        ge=1,
        description="micro-batches that a process works through before one step; the gradient stays that of "
        "batch_size images, the memory needed falls. For a batch that does not fit the GPU. Batch normalisation "
        "sees one micro-batch at a time: keep 8 images or more in each",
    )
    learning_rate: float = Field(
        3e-3,
        gt=0,
        description="peak of the one-cycle cosine schedule (AdamW); the warm-up lets AdamW's moments settle, the "
        "long fall quiets the noise of single batches",
    )
    weight_decay: float = Field(
        1e-4, ge=0, description="AdamW weight decay, a little: the pool is large against the student"
    )
    gradient_clip: float = Field(
        1.0, gt=0, description="largest gradient norm; keeps a batch of odd images from undoing many steps"
    )
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of an exponential moving average of the weights, which then is the result; 0: off. "
        "For a training that ends while the rate is still high (early stopping) or that has small, noisy batches; "
        "a whole one-cycle schedule quiets the steps by itself. 0.99 averages about the last 100 steps",
    )
    early_stopping: int = Field(
        0,
        ge=0,
        description="stop after this many epochs without a better loss on the held-out share of the pool, and "
        "keep the best epoch; 0: off. For little data and more epochs than it carries. It cuts the one-cycle "
        "schedule short, before the rate has fallen: combine it with `ema`",
    )
    held_out: float = Field(
        0.1,
        gt=0,
        lt=0.5,
        description="share of the training pool, fixed by the seed, that early stopping judges by and the student "
        "does not imitate; unused without early stopping. Never calibration or test images",
    )
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

    @model_validator(mode="after")
    def _micro_batches_hold_images(self) -> StageConfig:
        if self.gradient_accumulation > self.batch_size:
            raise ValueError(
                f"gradient_accumulation={self.gradient_accumulation} cannot be larger than "
                f"batch_size={self.batch_size}: each micro-batch needs an image"
            )
        return self


class PoolConfig(BaseModel):
    """The images that the stages train on, made once a run from the training images."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    generated: int = Field(
        1600,
        ge=0,
        description="augmented copies of training images in the pool; a stage may ask for a multiple (copies)",
    )
    synthetic_share: float = Field(
        0.6, ge=0, le=1, description="share of the copies of normals that get a synthetic anomaly"
    )
    labelled_share: float = Field(
        0.15,
        ge=0,
        le=1,
        description="where there are labelled defects: share of the copies that show one, augmented, or cut out by its "
        "mask and put into a normal image. Each labelled defect is in the pool once as it is, too",
    )
    max_originals: int = Field(20000, ge=20, description="at most this many training normals enter the pool")
    flips: Literal["measured", "all", "none"] = Field(
        "measured",
        description="mirrored and turned copies. measured: only where the adapted teacher hardly tells mirrored or "
        "turned normals from others (teacher/symmetries.json); all: both mirrors and quarter turns; none: left out",
    )
    symmetry_limit: float = Field(
        0.8,
        ge=0.5,
        le=1,
        description="flips=measured: a change is used if changed normals are told from others with an AUROC below this",
    )
    foreign_mirrors: bool = Field(
        True,
        description="flips=measured: copies mirrored as the surface never is join the pool as anomalies "
        "(the teacher answers for them as for any image, so no mirrored part becomes normal)",
    )
    augment: AugmentConfig = Field(
        default_factory=lambda: AugmentConfig(brightness=0.05, contrast=0.1),
        description="changes that leave a normal image normal; they widen what is imitated and never enter the fit "
        "of the likelihood. A flip set to true or false here goes before `flips`",
    )


def _wide_likelihood() -> LikelihoodConfig:
    """For models that stay in the fab: all directions at both resolutions, and more coordinates."""
    levels = [LevelConfig(), LevelConfig(grid=32, mean_grid=32, covariance_block=2)]
    return LikelihoodConfig(extra_coordinates=64, levels=levels)


def _intermediate() -> StageConfig:
    student = StudentConfig(width=1.5, fine_blocks=1, deep_blocks=2, likelihood=_wide_likelihood())
    return StageConfig(student=student, epochs=6, elbo_epochs=0)


def _target() -> StageConfig:
    student = StudentConfig(width=1.5, fine_blocks=1, deep_blocks=2, likelihood=_wide_likelihood())
    return StageConfig(
        student=student, start_from="intermediate", epochs=2, learning_rate=1e-3, elbo_epochs=0
    )


def _full() -> StageConfig:
    return StageConfig(student=StudentConfig(), teacher="target", epochs=18)


def _lowres() -> StageConfig:
    coarse = LevelConfig(directions=16)
    fine = LevelConfig(grid=16, directions=1, mean_grid=16)
    # the latent is taken from the coarse level's own cells, so its conditional mean costs no numbers, and with more
    # coordinates it makes up for what the smaller trunk misses (docs/LOG.md)
    # no prototypes: they would take a twentieth of the time of every image, to draw maps that are looked at where an
    # image was escalated, and then the full student draws
    likelihood = LikelihoodConfig(
        extra_coordinates=40, latent_grid=8, latent_directions=16, levels=[coarse, fine], prototypes=0
    )
    student = StudentConfig(
        input_size=128,
        map_size=16,
        channels=[16, 16, 32, 64],
        fine_blocks=2,
        block="inverted",
        expansion=3,
        likelihood=likelihood,
    )
    # copies are cheap at this resolution, and what so small a trunk makes of images that it has not seen is better the
    # more different ones it has seen (docs/LOG.md)
    return StageConfig(student=student, teacher="target", copies=3, epochs=24, elbo_epochs=0)


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
    compile: bool = Field(
        False,
        description="compile the students' trunks for the GPU (torch.compile): a minute a stage, then faster steps. "
        "Without a GPU nothing is compiled",
    )
    wandb: Literal["offline", "online", "disabled"] = Field(
        "offline", description="offline writes a local wandb run and sends nothing; online needs your account"
    )
    checkpoint_epochs: int = Field(
        1, ge=1, description="epochs between checkpoints that a killed run resumes from"
    )
    cache_gb: float = Field(
        20.0,
        ge=0,
        description="largest size in GB (10^9 bytes) of the teaching model's features cached on disk; where the "
        "pool's would be larger they are computed again in every step, which is slower and needs no disk",
    )
    keep_cache: bool = Field(
        False, description="keep the pool and its cached teacher features after the last stage"
    )
    seed: int = Field(0, ge=0, description="seed of the pool, the initial weights and the order of images")

    def pool_of(self, stage: StageConfig) -> PoolConfig:
        """The pool that one stage trains on."""
        return self.pool.model_copy(update={"generated": stage.copies * self.pool.generated})

    def stage_of(self, name: str, asks_more: bool, loose: bool = False) -> StageConfig:
        """Stage `name` as it is trained, given what its teacher found.

        Args:
            name: One of `STAGES`.
            asks_more: The teacher asks more than places. Then both students learn from more copies and have the shape
                that `ASKED_SHAPES` gives them, unless theirs was chosen in the configuration.
            loose: It asks for places alone, and the surface lies otherwise in every image. Then the low-resolution
                student has `LOOSE_LIKELIHOOD`, unless its likelihood was chosen.
        """
        stage: StageConfig = getattr(self, name)
        if loose and name == "lowres" and stage.student.likelihood == _lowres().student.likelihood:
            likelihood = stage.student.likelihood.model_copy(update=LOOSE_LIKELIHOOD)
            student = stage.student.model_copy(update={"likelihood": likelihood})
            return stage.model_copy(update={"student": student})
        if not asks_more or name not in STUDENTS:
            return stage
        student, shape = stage.student, ASKED_SHAPES[name]
        usual = {"full": _full, "lowres": _lowres}[name]().student
        as_usual = all(getattr(student, key) == getattr(usual, key) for key in shape)
        # their teacher's map is as fine as the full student's, or coarser ones were wanted throughout
        if as_usual and self.full.student.map_size >= shape["map_size"]:
            student = student.model_copy(update=shape)
        return stage.model_copy(update={"copies": max(stage.copies, ASKED_COPIES), "student": student})

    @model_validator(mode="after")
    def _fits_together(self) -> DistillConfig:
        order = {"teacher": -1, **{name: i for i, name in enumerate(STAGES)}}
        for i, name in enumerate(STAGES):
            stage: StageConfig = getattr(self, name)
            for key, other in (("teacher", stage.teacher), ("start_from", stage.start_from)):
                if other is not None and order[other] >= i:
                    raise ValueError(f"distill.{name}.{key}={other}: that stage runs later than {name}")
            looked_at = stage.student.likelihood.channels_used(_ALL)
            if stage.start_from and looked_at < _ALL:
                raise ValueError(
                    f"distill.{name}.start_from needs a whole head, but its likelihood looks at {looked_at} directions "
                    "only: give one of its levels directions: null"
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
