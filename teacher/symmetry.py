"""Which symmetries a surface has: is a mirrored or turned normal image still normal here?

A coarse likelihood is fitted to the teacher's features of one half of the training normals. It then judges the other
half as it is and changed; with few images each half takes its turn. Where both score alike, the change leaves a normal
image normal and may widen what the students imitate; where the changed ones stand out, a mirrored part is itself a
defect, and showing it to them as ordinary would cost detection. Only training normals are read.
`distill.augmentation` decides by these figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from likelihood.config import LevelConfig, LikelihoodConfig
from likelihood.fit import fit_likelihood
from likelihood.model import FeatureLikelihood
from teacher.config import TeacherConfig
from teacher.model import Teacher
from teacher.project import project_images
from teacher.symmetry_record import FEWEST_JUDGED, LOOSE, SCHEMA, SHIFT, SHIFT_PIXELS, exact_symmetries
from wafer_data.progress import track
from wafer_data.store import ImageStore

MOST_IMAGES = 400
"""Training normals, evenly spaced, of which one half is fitted and the other half judged."""
_GRID, _DIRECTIONS, _LATENT = 8, 32, 64

CHANGES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "horizontal_flip": lambda image, _: image[..., ::-1],
    "vertical_flip": lambda image, _: image[..., ::-1, :],
    # a quarter turn to the left and to the right in turns; half a turn is one of them twice
    "rotate90": lambda image, place: np.rot90(image, 1 if place % 2 else -1, (-2, -1)),
}
"""(image (C, S, S), its place among those judged) -> changed image; named as in `wafer_data.augment.AugmentConfig`."""


def _shifted(image: np.ndarray, place: int) -> np.ndarray:
    """By `SHIFT_PIXELS` in one of the four directions, in turns; what comes in is mirrored at the border."""
    by, side = SHIFT_PIXELS, image.shape[-1]
    rows, columns = [(0, by), (2 * by, by), (by, 0), (by, 2 * by)][place % 4]
    wider = np.pad(image, ((0, 0), (by, by), (by, by)), mode="reflect")
    return wider[:, rows : rows + side, columns : columns + side]


_JUDGED = CHANGES | {SHIFT: _shifted}


def measure_symmetries(
    teacher: Teacher,
    store: ImageStore,
    config: TeacherConfig,
    seed: int,
    known: Callable[[np.ndarray], Tensor] | None = None,
) -> dict[str, Any]:
    """How well changed normals are told from unchanged ones, for each of `CHANGES`; what `symmetries.json` holds.

    At most 400 normals take part, so at most 800 passes of the backbone, and 400 more where `known` is not given.

    Args:
        teacher: its projection is fitted; its likelihood is not used.
        seed: of the draw of the two halves.
        known: (positions among the training normals) -> their features (B, d, map, map), if they are at hand.

    Returns:
        schema, `fitted` and `judged` (numbers of images), `changes`: name -> `auroc` in [0, 1], 0.5 where a changed
        image looks as normal as an unchanged one, and its `interval95`, both None with fewer than `FEWEST_JUDGED`
        images to judge; `exact`, the names of `exact_symmetries`; `shift`, the same figures of images shifted by
        `SHIFT_PIXELS`, and `loose`, whether those are hardly told from others.
    """
    normals = store.indices("train", label=0)
    chosen = np.linspace(0, len(normals) - 1, min(len(normals), MOST_IMAGES)).round().astype(int)
    shuffled = np.random.default_rng((seed, 31)).permutation(chosen)
    halves = [np.sort(shuffled[: len(chosen) // 2]), np.sort(shuffled[len(chosen) // 2 :])]
    turns = [(halves[0], halves[1])]
    if len(chosen) <= MOST_IMAGES // 2:
        # twice the images to judge, and still no more passes than with many images
        turns.append((halves[1], halves[0]))
    judged = sum(len(judges) for _, judges in turns)
    result: dict[str, Any] = {"schema": SCHEMA, "fitted": len(halves[0]), "judged": judged}
    if len(halves[1]) < FEWEST_JUDGED:
        undecided = {name: {"auroc": None, "interval95": None} for name in _JUDGED}
        return result | _concluded(undecided, config)

    def images(positions: np.ndarray) -> Tensor:
        return torch.from_numpy(store.batch(normals[positions]))

    features_of = known or (lambda positions: project_images(teacher, images(positions), config))
    size = config.batch_size
    coarse = [torch.cat([_coarse(features_of(part)) for part in _parts(half, size)]) for half in halves]
    likelihoods = [_fitted(own) for own in coarse[: len(turns)]]
    ordinary = [_score(likelihoods[turn], coarse[1 - turn]) for turn in range(len(turns))]
    work = [
        (name, turn, start)
        for name in _JUDGED
        for turn, (_, judges) in enumerate(turns)
        for start in range(0, len(judges), size)
    ]
    scores: dict[tuple[str, int], list[np.ndarray]] = {(name, turn): [] for name, turn, _ in work}
    for name, turn, start in track(work, "symmetries of the surface"):
        batch = images(turns[turn][1][start : start + size]).numpy()
        changed = np.stack([_JUDGED[name](image, start + place) for place, image in enumerate(batch)])
        features = project_images(teacher, torch.from_numpy(changed), config)
        scores[name, turn].append(_score(likelihoods[turn], _coarse(features)))
    figures = {}
    for name in _JUDGED:
        pairs = [(before, np.concatenate(scores[name, turn])) for turn, before in enumerate(ordinary)]
        auroc, interval = paired_auroc(pairs)
        figures[name] = {"auroc": auroc, "interval95": list(interval)}
    return result | _concluded(figures, config)


def _concluded(figures: dict[str, Any], config: TeacherConfig) -> dict[str, Any]:
    """What follows from the figures of `_JUDGED`."""
    changes, shift = {name: figures[name] for name in CHANGES}, figures[SHIFT]
    return {
        "changes": changes,
        "exact": exact_symmetries(changes, config.exact_symmetry),
        SHIFT: shift,
        "loose": bool(exact_symmetries({SHIFT: shift}, LOOSE)),
    }


def paired_auroc(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, tuple[float, float]]:
    """AUROC of scores after a change against those before, both (N,) of the same images, and its 95 % interval.

    The share of pairs in which a changed image scores above an unchanged one, ties counting half (Mann & Whitney
    1947); of several sets, each scored by a likelihood of its own, the mean. The interval is the normal one with the
    variance of DeLong et al. 1988 for clustered data, each image being a cluster of two (Obuchowski 1997,
    "Nonparametric analysis of clustered ROC curve data").
    """
    shares, variances = [], []
    for before, after in pairs:
        wins = (after[:, None] > before) + 0.5 * (after[:, None] == before)
        shares.append(float(wins.mean()))
        variances.append(float((wins.mean(1) + wins.mean(0)).var(ddof=1)) / len(before))
    auroc = sum(shares) / len(shares)
    error = math.sqrt(sum(variances)) / len(shares)
    return auroc, (max(0.0, auroc - 1.96 * error), min(1.0, auroc + 1.96 * error))


def _fitted(coarse: Tensor) -> FeatureLikelihood:
    """A likelihood of coarse features (N, d, grid, grid)."""
    images, grid = len(coarse), coarse.shape[-1]
    # eight directions for the latent, not all: half a second of linear algebra instead of a minute
    level = LevelConfig(grid=grid, mean_grid=grid)
    config = LikelihoodConfig(
        latent=min(_LATENT, images // 2),
        extra_coordinates=0,
        latent_grid=grid,
        latent_directions=8,
        levels=[level],
        prototypes=0,
    )
    return fit_likelihood(lambda: coarse.split(64), config)


def _coarse(features: Tensor) -> Tensor:
    """(B, d, map, map) -> (B, at most 32, 8, 8) on the CPU, or the next smaller grid that divides the map."""
    # rounded as the stored features are, so that changed and unchanged images are treated alike
    own = features[:, :_DIRECTIONS].cpu().half().float()
    return F.avg_pool2d(own, own.shape[-1] // math.gcd(own.shape[-1], _GRID))


def _parts(positions: np.ndarray, size: int) -> list[np.ndarray]:
    return [positions[start : start + size] for start in range(0, len(positions), size)]


@torch.no_grad()
def _score(likelihood: FeatureLikelihood, features: Tensor) -> np.ndarray:
    return likelihood(features).score.numpy().astype(float)
