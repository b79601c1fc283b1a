"""One pass over the test images: both students' scores, quality figures, likeness to normals seen in training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from router.gate import FIGURES, QualityGate, measure_quality
from student_vae import StudentVAE, load_student
from wafer_data.errors import InputError
from wafer_data.progress import track
from wafer_data.spread import spread
from wafer_data.store import ImageStore

REFERENCES = 1000
"""At most this many training normals to be like, and calibration normals to compare with; evenly spaced."""

IMAGE_SIZE = 256


@dataclass(frozen=True)
class Students:
    """The two models of a route."""

    lowres: StudentVAE
    full: StudentVAE


@dataclass(frozen=True)
class Measured:
    """N images in the order of `indices`.

    lowres, full: (N,) raw scores, > 0. refused: (N,) bool, by the quality gate. quality: (N, 5), see
    `router.gate.FIGURES`. similarity: (N,) largest cosine, in [-1, 1], between the full student's latent of the image
    and that of a training normal. nearest: (N,) that normal's index in the store.
    """

    indices: np.ndarray
    lowres: np.ndarray
    full: np.ndarray
    refused: np.ndarray
    quality: np.ndarray
    similarity: np.ndarray
    nearest: np.ndarray


@dataclass(frozen=True)
class KnownNormals:
    """Training normals to be like: indices (M,) in the store, directions (M, k) of the full student's latents."""

    indices: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, store: ImageStore, students: Students, batch_size: int) -> "KnownNormals":
        """At most `REFERENCES` of them, evenly spaced. Raises `InputError` when there is none."""
        normals = spread(store.indices("train", label=0), REFERENCES)
        if not len(normals):
            raise InputError("the run's data hold no training normal: prepare them again")
        starts = range(0, len(normals), batch_size)
        latents = [
            _scored(students.full, store.batch(normals[start : start + batch_size]))[1]
            for start in track(starts, "training normals")
        ]
        return cls(normals, _directions(np.concatenate(latents)))


def load_students(run_dir: Path, store: ImageStore) -> Students:
    """Both students of a run. Raises `InputError` when one is missing or the images do not fit."""
    for name in ("lowres", "full"):
        if not (run_dir / name / "student.json").is_file():
            raise InputError(
                f"{run_dir / name} holds no trained student: run `waferroute run` on this folder's configuration first"
            )
    if store.size != IMAGE_SIZE:
        raise InputError(
            f"the students judge images of {IMAGE_SIZE} px, but {run_dir / 'data'} holds images of {store.size} px"
        )
    return Students(load_student(run_dir / "lowres"), load_student(run_dir / "full"))


def measure_images(
    store: ImageStore,
    students: Students,
    gate: QualityGate,
    known: KnownNormals,
    indices: np.ndarray,
    batch_size: int,
    title: str,
) -> Measured:
    """Measure images of the store, `batch_size` at a time; memory grows by a few hundred bytes an image."""
    count = len(indices)
    found = Measured(
        indices=indices,
        lowres=np.empty(count),
        full=np.empty(count),
        refused=np.zeros(count, bool),
        quality=np.empty((count, len(FIGURES))),
        similarity=np.empty(count),
        nearest=np.empty(count, np.int64),
    )
    for start in track(range(0, count, batch_size), title):
        part = slice(start, min(start + batch_size, count))
        images = store.batch(indices[part])
        figures = [measure_quality(image[0]) for image in images]
        found.quality[part] = [[getattr(one, name) for name in FIGURES] for one in figures]
        found.refused[part] = [bool(gate.reasons(one)) for one in figures]
        low, _ = _scored(students.lowres, images)
        high, latent = _scored(students.full, images)
        found.lowres[part], found.full[part] = low, high
        likeness = _directions(latent) @ known.directions.T
        found.similarity[part] = likeness.max(1)
        found.nearest[part] = known.indices[likeness.argmax(1)]
    return found


@torch.inference_mode()
def _scored(student: StudentVAE, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = student.score(torch.from_numpy(images))
    return found.score.double().numpy(), found.latent.numpy()


def _directions(latent: np.ndarray) -> np.ndarray:
    return latent / np.maximum(np.linalg.norm(latent, axis=1, keepdims=True), 1e-12)
