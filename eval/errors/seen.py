"""One pass over images: both students' scores as on the tool, quality figures, likeness to normals seen in training."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from eval.run import FinishedRun
from eval.tool_run import BundleStudents
from router.gate import FIGURES
from router.route_scores import RouteScores, ScoredBatch, score_batches
from wafer_data.errors import InputError
from wafer_data.progress import track
from wafer_data.spread import spread

REFERENCES = 1000
"""At most this many training normals to be like, and calibration normals to compare with; evenly spaced."""


@dataclass(frozen=True)
class Measured:
    """N images in the order of `indices`.

    Attributes:
        quality: (N, 5), see `router.gate.FIGURES`.
        similarity: (N,) largest cosine, in [-1, 1], between the full student's latent of the image and that
            of a training normal.
        nearest: (N,) that normal's index in the store.
    """

    indices: np.ndarray
    scores: RouteScores
    quality: np.ndarray
    similarity: np.ndarray
    nearest: np.ndarray


@dataclass(frozen=True)
class Measuring:
    """What images of a run are measured with.

    Attributes:
        known: Indices (M,) in the store of training normals to be like.
        directions: (M, k) of the full student's latents.
    """

    run: FinishedRun
    students: BundleStudents
    known: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, run: FinishedRun) -> "Measuring":
        """Raises `InputError` when there is no training normal."""
        students, normals = (
            BundleStudents(run.bundle),
            spread(run.store.indices("train", label=0), REFERENCES),
        )
        if not len(normals):
            raise InputError("the run's data hold no training normal: prepare them again")
        images = (run.store.pixels(int(index)) for index in track(normals, "training normals"))
        full = {"full": students.graphs["full"].batch}
        batches = score_batches(run.policy.gate, images, full)
        latents = [batch.outputs["full"].latent for batch in batches]
        return cls(run, students, normals, _directions(np.concatenate(latents)))

    def measure(self, indices: np.ndarray, title: str) -> Measured:
        """Measure images of the run; memory grows by a few hundred bytes an image."""
        quality: list[list[float]] = []
        likeness: list[np.ndarray] = []

        def noted(batches: Iterable[ScoredBatch]) -> Iterator[ScoredBatch]:
            for batch in batches:
                quality.extend([getattr(one.figures, name) for name in FIGURES] for one in batch.looks)
                cosines = _directions(batch.outputs["full"].latent) @ self.directions.T
                likeness.append(np.stack([cosines.max(1), self.known[cosines.argmax(1)]]))
                yield batch

        images = (self.run.store.pixels(int(index)) for index in track(indices, title))
        graphs = {name: graph.batch for name, graph in self.students.graphs.items()}
        scores = RouteScores.of(noted(score_batches(self.run.policy.gate, images, graphs)))
        similarity, nearest = np.concatenate(likeness, axis=1)
        return Measured(indices, scores, np.array(quality), similarity, nearest.astype(np.int64))


def _directions(latent: np.ndarray) -> np.ndarray:
    return latent / np.maximum(np.linalg.norm(latent, axis=1, keepdims=True), 1e-12)
