"""Students whose trunks stay: their features of a run's images, and other fits of their likelihoods to these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eval.run import FinishedRun
from likelihood import FeatureLikelihood
from likelihood.labels import fit_with_labels
from router.route_scores import score_batches
from student_vae import StudentVAE
from wafer_data.progress import track
from wafer_data.spread import spread
from wafer_data.store import ImageStore

MOST_NORMALS = 2000
"""At most this many training normals fit the likelihood again, evenly spaced; 32 x 32 x 32 features of as many images
fill 260 MB."""

MOST_TESTED = 1000
"""At most this many test normals, calibration normals, and defects of a type, evenly spaced."""

BATCH = 32


@dataclass(frozen=True)
class Chosen:
    """Images of a run, as indices in its store.

    normals: to fit. calibration: normals to set thresholds. test: normals and defects to judge. labelled: defects of
    the training split. truth (N,) 0 or 1 and types (N,) are those of `test`.
    """

    normals: np.ndarray
    calibration: np.ndarray
    test: np.ndarray
    labelled: np.ndarray
    truth: np.ndarray
    types: np.ndarray
    labelled_types: np.ndarray

    @classmethod
    def of(cls, store: ImageStore) -> "Chosen":
        """Evenly spaced where there are many."""
        kind = np.array([record.type for record in store.records])

        def bounded(indices: np.ndarray) -> np.ndarray:
            parts = [spread(indices[kind[indices] == name], MOST_TESTED) for name in np.unique(kind[indices])]
            return np.sort(np.concatenate(parts)) if parts else indices

        normal_tests = spread(store.indices("test", label=0), MOST_TESTED)
        test = np.sort(np.concatenate([normal_tests, bounded(store.indices("test", label=1))]))
        labelled = bounded(store.indices("train", label=1))
        return cls(
            normals=spread(store.indices("train", label=0), MOST_NORMALS),
            calibration=spread(store.indices("calibration", label=0), MOST_TESTED),
            test=test,
            labelled=labelled,
            truth=np.array([store.records[i].label for i in test], dtype=np.int64),
            types=kind[test],
            labelled_types=kind[labelled],
        )


class FrozenStudents:
    """Features of the chosen images by both students, and the gate's verdict on those that are decided on.

    What is fitted is seen whole, as in training; what is decided on is seen as on the tool.
    """

    def __init__(self, students: Mapping[str, StudentVAE], run: FinishedRun, chosen: Chosen) -> None:
        self.configs = {name: student.config.likelihood for name, student in students.items()}
        self._answers = {name: student.likelihood.answers for name, student in students.items()}
        networks = {name: _features_of(student) for name, student in students.items()}

        def whole(indices: np.ndarray, what: str) -> dict[str, Tensor]:
            starts = track(range(0, len(indices), BATCH), f"features: {what}")
            parts = [run.store.batch(indices[start : start + BATCH]) for start in starts]
            return {
                name: torch.cat([call(part) for part in parts]) for name, call in networks.items() if parts
            }

        def as_on_the_tool(indices: np.ndarray, what: str) -> tuple[dict[str, Tensor], np.ndarray]:
            images = (run.store.pixels(int(index)) for index in track(indices, f"features: {what}"))
            batches = list(score_batches(run.policy.gate, images, networks, BATCH))
            found = {name: torch.cat([one.outputs[name] for one in batches]) for name in networks if batches}
            return found, np.concatenate([one.refused for one in batches]) if batches else np.empty(0, bool)

        self._normals = whole(chosen.normals, "training normals")
        self._labelled = whole(chosen.labelled, "labelled defects")
        self.calibration, self.refused_calibration = as_on_the_tool(chosen.calibration, "calibration normals")
        self.test, self.refused_test = as_on_the_tool(chosen.test, "test images")

    def fit(self, name: str, tested: np.ndarray, trained: np.ndarray, seed: int) -> FeatureLikelihood:
        """The likelihood of normals, with a head taught by defects; without a head if there are none.

        Args:
            name: Of the student.
            tested: Indices of the defects among the test images.
            trained: Indices of the defects among the labelled training images.
            seed: Of the folds.
        """
        answers = self._answers[name]
        first = answers.count if answers is not None else 0
        sources = ((self.test, tested), (self._labelled, trained))
        parts = [features[name][rows][:, first:] for features, rows in sources if len(rows)]
        defects = [torch.cat(parts)] if parts else []
        normals = self._normals[name][:, first:]
        found = fit_with_labels(
            lambda: iter(normals.split(2 * BATCH)), defects, self.configs[name], seed
        ).likelihood
        found.answers = answers  # a defect teaches the likelihood alone
        return found


@torch.inference_mode()
def scores(likelihood: FeatureLikelihood, features: Tensor) -> np.ndarray:
    """Raw scores (N,) > 0 of features (N, d, h, h)."""
    parts = [likelihood(part).score.double() for part in features.split(2 * BATCH)]
    return torch.cat(parts).numpy() if parts else np.empty(0)


def _features_of(student: StudentVAE) -> Callable[[np.ndarray], Tensor]:
    @torch.no_grad()
    def features(images: np.ndarray) -> Tensor:
        return student.features(torch.from_numpy(images))

    return features
