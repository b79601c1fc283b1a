"""A student whose trunk stays as it is: its features of a run's images, and other fits of its likelihood to them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from likelihood import FeatureLikelihood
from likelihood.labels import fit_with_labels
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


class FrozenStudent:
    """Features of the chosen images, and scores under likelihoods fitted to them."""

    def __init__(self, student: StudentVAE, store: ImageStore, chosen: Chosen, title: str) -> None:
        self.config = student.config.likelihood
        self._normals, self.calibration, self.test, self._labelled = (
            _features(student, store, indices, f"{title}: {what}")
            for what, indices in (
                ("training normals", chosen.normals),
                ("calibration normals", chosen.calibration),
                ("test images", chosen.test),
                ("labelled defects", chosen.labelled),
            )
        )

    def fit(self, tested: np.ndarray, trained: np.ndarray, seed: int) -> FeatureLikelihood:
        """The likelihood of normals, with a head taught by defects: places among the test images, and among the
        labelled training images; without a head if there are none."""
        defects = torch.cat([self.test[tested], self._labelled[trained]])
        return fit_with_labels(
            lambda: iter(self._normals.split(2 * BATCH)), [defects] if len(defects) else [], self.config, seed
        )


@torch.inference_mode()
def scores(likelihood: FeatureLikelihood, features: Tensor) -> np.ndarray:
    """Raw scores (N,) > 0 of features (N, d, h, h)."""
    parts = [likelihood(part).score.double() for part in features.split(2 * BATCH)]
    return torch.cat(parts).numpy() if parts else np.empty(0)


@torch.no_grad()
def _features(student: StudentVAE, store: ImageStore, indices: np.ndarray, title: str) -> Tensor:
    if not len(indices):
        side = student.config.map_size
        return torch.empty((0, student.channels, side, side))
    starts = range(0, len(indices), BATCH)
    return torch.cat(
        [
            student.features(torch.from_numpy(store.batch(indices[start : start + BATCH])))
            for start in track(starts, title)
        ]
    )
