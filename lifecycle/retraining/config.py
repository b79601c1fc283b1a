"""What a retraining depends on: `retraining.yaml`, read by `waferroute retrain`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wafer_data.home import PathText


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ServiceSection(_Section):
    """The service whose images and verdicts a retraining learns from."""

    data: PathText = Field(description="the service's data folder; versions lie in its folder models")
    database: str | None = Field(
        None, description="URL of the service's database. Default: the SQLite file in the data folder"
    )
    public_key: PathText | None = Field(None, description="key that versions must be signed with")


class ExtractSection(_Section):
    """Which images are taken, and the guards that keep defects out of the normal ones."""

    days: float = Field(90.0, gt=0, description="images of so many days before the retraining began")
    recipe: str | None = Field(None, description="images of this recipe alone. Default: of all")
    unreviewed: bool = Field(
        False,
        description="whether PASS images that nobody looked at may be trained on too, beside those that people "
        "called good in an audit",
    )
    margin: float = Field(
        1.0,
        ge=0,
        description="unreviewed images whose score lies less than so many robust standard deviations below the "
        "threshold are left out",
    )
    per_hour: int = Field(40, ge=1, description="most normal images an hour of one tool and lot")
    lot_share: float = Field(0.05, gt=0, le=1, description="largest share of the normal images from one lot")
    tool_share: float = Field(0.34, gt=0, le=1, description="largest share of them from one tool")
    most: int = Field(20_000, ge=1, description="most normal images in all, chosen by a hash")
    recent_share: float = Field(
        0.1, gt=0, lt=1, description="share of wafers that are kept from training and evaluate it"
    )
    regression_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the other wafers whose defects join the regression set instead of training",
    )


class ChecksSection(_Section):
    """What the extracted images must be like."""

    least_normal: int = Field(200, ge=1, description="fewest normal images to train on")
    least_tools: int = Field(1, ge=1, description="fewest tools that they come from")
    gate_refused: float = Field(
        0.02, ge=0, le=1, description="largest share of them that production's quality gate refuses"
    )
    duplicates: float = Field(0.05, ge=0, le=1, description="largest share with the same pixels as another")


class TrainSection(_Section):
    """How the new version is trained."""

    config: PathText = Field(
        description="configuration of `waferroute run`; its images and its run folder are replaced"
    )
    overrides: list[str] = Field(
        default_factory=list, description="key=value settings that replace those of it"
    )
    labels_per_type: int = Field(
        40, ge=0, description="most defects of a type, labelled by people, that are learned from"
    )


class GateSection(_Section):
    """Thresholds of the gate; see `lifecycle.gate.gate.Thresholds`."""

    auroc: float = Field(0.95, description="least image AUROC")
    fnr_at_fpr5: float = Field(0.2, description="most misses at 5 % false alarms")
    escape: float = Field(0.2, description="most defects that PASS")
    false_alarm: float = Field(0.12, description="most normals that do not PASS")
    p99_ms: float = Field(50.0, gt=0, description="longest 99th percentile of a decision, milliseconds")
    worse: float = Field(
        0.02, ge=0, description="by how much the worst end of a paired interval may be worse than production"
    )
    regressions: int = Field(
        0, ge=0, description="most defects that production finds and the candidate misses"
    )


class RegistrySection(_Section):
    """How a version that passed its gate is registered."""

    sign_key: PathText | None = Field(None, description="private key that the bundle is signed with")
    mlflow: str | None = Field(
        None, description="MLflow's address, or `embedded`: versions are shown there as well"
    )


class DueSection(_Section):
    """When a retraining is due without a person who asks for it."""

    monthly: bool = Field(True, description="on the 1st of each month, UTC")
    grace_days: float = Field(
        3.0,
        gt=0,
        lt=28,
        description="a 1st that was missed is made up for within so many days, and not later",
    )
    on_drift: Literal["off", "request", "train"] = Field(
        "request",
        description="what drift leads to: nothing, a request that a person confirms, or a retraining",
    )
    rest_days: float = Field(7.0, ge=0, description="shortest time between retrainings that drift leads to")


class RetrainingConfig(_Section):
    """Everything that a retraining depends on."""

    work: PathText = Field(min_length=1, description="folder of all retrainings, a folder each")
    service: ServiceSection = Field(description="where images, verdicts and versions are")
    frozen: list[PathText] = Field(
        min_length=1,
        description="folders of labelled images that are never trained on: good/ and a folder for each defect type",
    )
    train: TrainSection = Field(description="how the new version is trained")
    extract: ExtractSection = Field(default_factory=ExtractSection, description="which images are taken")
    checks: ChecksSection = Field(default_factory=ChecksSection, description="what they must be like")
    gate: GateSection = Field(default_factory=GateSection, description="what a candidate must reach")
    registry: RegistrySection = Field(
        default_factory=RegistrySection, description="how a version that passed is registered"
    )
    due: DueSection = Field(default_factory=DueSection, description="when it is done without being asked for")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.work == self.service.data:
            raise ValueError("work and service.data must be different folders")
        return self
