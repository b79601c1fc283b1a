"""Configuration of the questions."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

QuestionName = Literal["detail", "context", "nearest", "painted"]
NAMES: tuple[QuestionName, ...] = ("detail", "context", "nearest", "painted")


class QuestionsConfig(BaseModel):
    """What the teacher may ask of a cell beside the place-bound likelihood; the images decide what counts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    ask: list[QuestionName] = Field(
        default_factory=lambda: list(NAMES),
        description="questions to try. detail: is it expected at its place, in all directions of the features, also "
        "those in which images hardly differ? context: is it what its surroundings and the image predict? nearest: is "
        "it near an appearance that normal cells have anywhere? painted: does it look like painted defects? Empty: the "
        "likelihood alone decides",
    )
    images: int = Field(
        300,
        ge=20,
        description="training normals, evenly spaced, that the questions are fitted to and tried on; memory and time "
        "grow with them",
    )
    directions: int = Field(
        192,
        ge=1,
        le=512,
        description="principal directions that the questions look at (fewer if there are fewer)",
    )
    folds: int = Field(
        3,
        ge=2,
        le=10,
        description="a question is tried on images, and the painted one on kinds of defect, of a fold that it has not "
        "learned from",
    )
    prototypes: int = Field(1024, ge=1, le=16384, description="nearest: appearances that are remembered")
    hidden: int = Field(32, ge=1, le=512, description="painted: hidden units of the network")
    steps: int = Field(400, ge=1, description="painted: training steps")
    noise: float = Field(
        0.25,
        ge=0,
        description="painted: standard deviation of the noise that makes a normal cell an anomalous one, in units of "
        "each direction's own",
    )
    worth: float = Field(
        0.06,
        ge=0,
        lt=1,
        description="more is asked than places only if it improves the tried AUROC by more than this: no surface "
        "pays for an answer that adds nothing, and paint is not so like real defects that less would mean anything",
    )
