"""A student on disk: weights in safetensors, everything else in a JSON beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from likelihood.answers import Answers
from student_vae.config import StudentConfig
from student_vae.model import StudentVAE
from training.tensors import load_weights, save_tensors
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json

SCHEMA = 7


def save_student(model: StudentVAE, directory: Path, extra: dict[str, Any] | None = None) -> None:
    """Write `student.safetensors` and `student.json` into an existing folder."""
    save_tensors(model.state_dict(), directory / "student.safetensors")
    description = {
        "schema": SCHEMA,
        "student": model.config.model_dump(mode="json"),
        "channels": model.channels,
        "coordinates": model.likelihood.coordinates,
        "has_decoder": model.decoder is not None,
        "has_head": model.likelihood.head is not None,
        "prototypes": model.likelihood.prototype_count,
        "answers": model.likelihood.answers.describe() if model.likelihood.answers is not None else None,
        "parameters": model.parameter_count,
        "image_channels": model.image_channels,
        **(extra or {}),
    }
    write_json(directory / "student.json", description)


def load_student(directory: str | Path) -> StudentVAE:
    """Read a student written by `save_student`, in evaluation mode.

    Raises:
        InputError: a file is missing, broken or of another schema.
    """
    directory = Path(directory)
    description = read_json(directory / "student.json")
    if description.get("schema") != SCHEMA:
        raise InputError(
            f"{directory / 'student.json'}: schema {description.get('schema')}, expected {SCHEMA}; another version of "
            "waferroute wrote it: run the stage that makes it again"
        )
    config = StudentConfig.model_validate(description["student"])
    model = StudentVAE(
        config,
        description["channels"],
        description["coordinates"],
        description["has_decoder"],
        description["has_head"],
        description["prototypes"],
        Answers(**description["answers"]) if description["answers"] else None,
        description.get("image_channels", 1),
    )
    load_weights(model, directory / "student.safetensors")
    return model.eval()
