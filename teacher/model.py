"""The adapted teacher: backbone, projection on the directions that vary, likelihood of normal images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likelihood.answers import Answers
from likelihood.config import LikelihoodConfig
from likelihood.model import FeatureLikelihood, Scores
from teacher.backbones import Backbone, rebuild
from teacher.gradient.decoder import BottleneckDecoder, rebuild_decoder
from teacher.questions.asked import Questions, rebuild_questions
from training.tensors import load_weights, save_tensors
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json
from wafer_data.image_size import require_model_images

SCHEMA = 7


class Teacher(nn.Module):
    """Features that students imitate, and the strongest score of the run.

    Args:
        backbone: pretrained, frozen.
        directions: d, principal directions kept.
        likelihood: fitted conditional Gaussian, or None before the fit.
        decoder: reconstructs normal features; the likelihood then judges what is left of them.
        questions: that are asked beside the likelihood; None: it stands alone.
        image_channels: planes of the images that it is fitted to: 1 of grey, 3 of colour.
    """

    channel_mean: Tensor
    channel_std: Tensor
    projection: Tensor
    input_size = 256

    def __init__(
        self,
        backbone: Backbone,
        directions: int,
        likelihood: FeatureLikelihood | None = None,
        decoder: BottleneckDecoder | None = None,
        questions: Questions | None = None,
        image_channels: int = 1,
    ) -> None:
        super().__init__()
        self.backbone, self.image_channels = backbone, image_channels
        self.register_buffer("channel_mean", torch.zeros(1, backbone.channels, 1, 1))
        self.register_buffer("channel_std", torch.ones(1, backbone.channels, 1, 1))
        self.directions = directions
        # all directions, those of largest variance first: questions look at more than the likelihood does
        self.register_buffer("projection", torch.zeros(backbone.channels, backbone.channels))
        self.likelihood = likelihood
        self.decoder = decoder
        self.questions = questions

    @property
    def parameter_count(self) -> int:
        """Every learned number: backbone, standardisation, projection, likelihood."""
        learned = sum(p.numel() for p in self.backbone.parameters())
        learned += self.channel_mean.numel() + self.channel_std.numel() + self.projection.numel()
        learned += self.decoder.parameter_count if self.decoder else 0
        learned += self.questions.parameter_count if self.questions else 0
        return learned + (self.likelihood.parameter_count if self.likelihood else 0)

    @torch.no_grad()
    def project(self, image: Tensor, directions: int) -> Tensor:
        """(B, C, 256, 256) in [0, 1], grey or colour -> (B, directions, map, map), standardised and projected."""
        require_model_images(image.shape, "the teacher", self.image_channels)
        features = self.backbone(image)
        with _full_precision(image.device):
            raw = (features - self.channel_mean) / self.channel_std
            return torch.einsum("bchw,dc->bdhw", raw, self.projection[:directions])

    def features(self, image: Tensor) -> Tensor:
        """What students imitate: answers to the questions that are asked, then directions, (B, Q + d, map, map)."""
        if self.questions is None:
            return self.project(image, self.directions)
        every = self.project(image, max(self.questions.channels, self.directions))
        with _full_precision(image.device):
            asked = self.questions(every[:, : self.questions.channels])
        return torch.cat([asked, every[:, : self.directions]], 1)

    def score(self, image: Tensor) -> Scores:
        """Score, map and latent of (B, C, 256, 256) images in [0, 1], grey or colour."""
        if self.likelihood is None:
            raise RuntimeError("the teacher's likelihood has not been fitted")
        features = self.features(image)
        if self.decoder is not None:
            features = features - self.decoder(features)
        return self.likelihood(features)

    forward = score


def _full_precision(device: torch.device) -> torch.autocast:
    """Leaves an autocast: bfloat16 is for the backbone; its 8 bits are too few for what is measured with it."""
    return torch.autocast(device.type, enabled=False)


def save_teacher(teacher: Teacher, likelihood: LikelihoodConfig, directory: Path) -> None:
    """Write `teacher.safetensors` and `teacher.json` into an existing folder."""
    assert teacher.likelihood is not None
    save_tensors(teacher.state_dict(), directory / "teacher.safetensors")
    description: dict[str, Any] = {
        "schema": SCHEMA,
        "backbone": teacher.backbone.describe(),
        "map_size": teacher.backbone.map_size,
        "directions": teacher.directions,
        "decoder": teacher.decoder.describe() if teacher.decoder else None,
        "coordinates": teacher.likelihood.coordinates,
        "has_head": teacher.likelihood.head is not None,
        "prototypes": teacher.likelihood.prototype_count,
        "questions": teacher.questions.describe() if teacher.questions else None,
        "answers": teacher.likelihood.answers.describe() if teacher.likelihood.answers else None,
        "likelihood": likelihood.model_dump(mode="json"),
        "parameters": teacher.parameter_count,
        "image_channels": teacher.image_channels,
    }
    write_json(directory / "teacher.json", description)


def teacher_answers(directory: Path) -> Answers | None:
    """What the teacher in a folder asks beside its likelihood, for a student that imitates it; nothing fitted."""
    described = _read(directory)["answers"]
    return Answers(**described) if described else None


def _read(directory: Path) -> dict[str, Any]:
    about: dict[str, Any] = read_json(directory / "teacher.json")
    if about.get("schema") != SCHEMA:
        raise InputError(
            f"{directory / 'teacher.json'}: schema {about.get('schema')}, expected {SCHEMA}; another version of "
            "waferroute wrote it: run the stage `adapt` again"
        )
    return about


def load_teacher(directory: str | Path) -> Teacher:
    """Read a teacher written by `save_teacher`, in evaluation mode. Needs no network and no weights package.

    Raises:
        InputError: a file is missing, broken or of another schema.
    """
    directory = Path(directory)
    about = _read(directory)
    lik = LikelihoodConfig.model_validate(about["likelihood"])
    likelihood = FeatureLikelihood(
        lik,
        about["directions"],
        about["map_size"],
        about["coordinates"],
        about["has_head"],
        about["prototypes"],
        Answers(**about["answers"]) if about["answers"] else None,
    )
    questions = rebuild_questions(about["questions"]) if about["questions"] else None
    decoder = rebuild_decoder(about["decoder"]) if about["decoder"] else None
    backbone = rebuild(about["backbone"], about["map_size"])
    channels = about.get("image_channels", 1)
    teacher = Teacher(backbone, about["directions"], likelihood, decoder, questions, channels)
    load_weights(teacher, directory / "teacher.safetensors")
    return teacher.eval()
