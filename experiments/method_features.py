"""Pixels against features, distillation, routing: one finished run's test images under each (for docs/method.md).

Two questions are kept apart. *What is compared*: pixels, or the student's features. *How*: the size of the difference
from what the latent predicts, or its likelihood under the covariance that normal images have at that place. So four
detectors, three of them fitted here in closed form; the fourth is the run's full student.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from eval.metrics import PixelHistograms, fnr_at_fpr, image_auroc
from eval.scoring import upsample
from likelihood import FeatureLikelihood
from likelihood.fit import fit_likelihood
from router.policy import RoutingPolicy
from student_vae import StudentVAE, load_student
from student_vae.trunk import Trunk
from wafer_data import files
from wafer_data.store import ImageStore

BLOCK = 8  # pixels
Detector = Callable[[Tensor], tuple[Tensor, Tensor]]
ESCALATIONS = (0.05, 0.065, 0.1, 0.2, 0.5, 1.0)


def judge_run(run: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Figures of the run, and maps of a few defective test images."""
    store = ImageStore.open(run / "data")
    student = load_student(run / "full").eval()
    normals = store.indices("train", 0)
    detectors = {
        "pixels_error": reconstruction_error(student),
        "pixels_likelihood": pixel_likelihood(store, normals, student),
        "features_error": feature_error(student),
        "features_likelihood": lambda images: student.score(images)[:2],
    }
    detectors |= {f"random_trunk_{seed}": random_trunk(store, normals, student, seed) for seed in range(3)}
    found, maps = judge(store, detectors)
    report = files.read_json(run / "report" / "report.json")
    figures = {
        "data": report["data"],
        "detectors": found,
        "report": report["models"],
        "routing": routing_curve(run, report["models"]),
    }
    return figures, maps


@torch.inference_mode()
def judge(store: ImageStore, detectors: dict[str, Detector]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Every detector on every test image."""
    test = store.indices("test")
    labels = np.array([store.records[i].label for i in test])
    masks = [store.mask(int(i)) for i in test]
    shown = _shown(masks)
    scores: dict[str, list[float]] = {name: [] for name in detectors}
    pixels = {name: PixelHistograms() for name in detectors}
    pictures: dict[str, list[np.ndarray]] = {name: [] for name in (*detectors, "image", "mask")}
    texture: list[float] = []
    for start in range(0, len(test), 16):
        images = store.batch(test[start : start + 16])
        tensor = torch.from_numpy(images)
        texture += (tensor - F.avg_pool2d(tensor, 9, 1, 4, count_include_pad=False)).std((1, 2, 3)).tolist()
        for name, detector in detectors.items():
            score, heat = detector(tensor)
            scores[name] += score.tolist()
            large = upsample(heat.numpy(), store.size)
            for row, one in enumerate(large):
                place = start + row
                mask = masks[place] if labels[place] else np.zeros_like(one, bool)
                if mask is None:
                    continue
                pixels[name].update(one, mask)
                if place in shown:
                    pictures[name].append(one.astype(np.float32))
        for row in range(len(images)):
            if start + row in shown:
                pictures["image"].append(images[row, 0])
                pictures["mask"].append(np.asarray(masks[start + row]))
    figures = {}
    normal = labels == 0
    for name, values in scores.items():
        array = np.array(values)
        figures[name] = {
            "image_auroc": image_auroc(labels, array),
            "fnr_at_fpr5": fnr_at_fpr(labels, array),
            "pixel_auroc": pixels[name].auroc() if any(mask is not None for mask in masks) else None,
            "follows_texture": float(spearmanr(array[normal], np.array(texture)[normal]).statistic),
        }
    return figures, {name: np.stack(parts) for name, parts in pictures.items() if parts}


def _shown(masks: list[np.ndarray | None]) -> set[int]:
    """Four defective images for the picture: evenly spaced among those whose defect covers 0.5 to 15 % of the image."""
    fitting = [i for i, mask in enumerate(masks) if mask is not None and 0.005 < mask.mean() < 0.15]
    return {fitting[round(place)] for place in np.linspace(0, len(fitting) - 1, 4)} if fitting else set()


def reconstruction_error(student: StudentVAE) -> Detector:
    """Squared error of the student's own image decoder: mean, and map."""

    def detect(images: Tensor) -> tuple[Tensor, Tensor]:
        latent = student.score(images).latent
        error = (student.reconstruct(latent) - student.shrink(images))[:, 0].square()
        return error.mean((1, 2)), error

    return detect


def feature_error(student: StudentVAE) -> Detector:
    """The student's residuals, levels and cells as ever, but their plain size instead of their likelihood."""

    def detect(images: Tensor) -> tuple[Tensor, Tensor]:
        features, model = student.features(images), student.likelihood
        level = model.level_list[0]
        residual = model.residuals(features, model.encode(features))[0]
        distance = level.distance(residual)
        return level.score(distance), distance

    return detect


def pixel_likelihood(store: ImageStore, normals: np.ndarray, student: StudentVAE) -> Detector:
    """The same latent-conditional Gaussian on raw pixels: principal components of 8 x 8 blocks, not features."""
    directions = student.channels
    blocks = _pixel_blocks(store, normals[:: max(1, len(normals) // 100)])
    centre = blocks.mean(0)
    _, vectors = torch.linalg.eigh((blocks - centre).T @ (blocks - centre))
    basis = vectors[:, -directions:].flip(1)

    def features(images: Tensor) -> Tensor:
        cells = F.pixel_unshuffle(images, BLOCK) - centre[:, None, None]
        return torch.einsum("bchw,cd->bdhw", cells, basis)

    return _with_likelihood(store, normals, student, features)


def random_trunk(store: ImageStore, normals: np.ndarray, student: StudentVAE, seed: int) -> Detector:
    """The student's architecture with random weights: everything but the distillation."""
    torch.manual_seed(seed)
    trunk = Trunk(student.config, student.channels).train()
    with torch.no_grad():  # batch normalisation needs the statistics of real images, also in a random network
        for start in range(0, min(256, len(normals)), 32):
            trunk(student.prepare(torch.from_numpy(store.batch(normals[start : start + 32]))))
    trunk.eval()
    return _with_likelihood(store, normals, student, lambda images: trunk(student.prepare(images)))


def _with_likelihood(
    store: ImageStore, normals: np.ndarray, student: StudentVAE, features: Callable[[Tensor], Tensor]
) -> Detector:
    """Fit the student's likelihood to other features."""

    @torch.no_grad()
    def batches() -> Iterator[Tensor]:
        for start in range(0, len(normals), 32):
            yield features(torch.from_numpy(store.batch(normals[start : start + 32])))

    kept = list(batches())  # a few hundred images fit into memory
    fitted: FeatureLikelihood = fit_likelihood(lambda: kept, student.config.likelihood).eval()
    return lambda images: fitted(features(images))[:2]


def _pixel_blocks(store: ImageStore, indices: np.ndarray) -> Tensor:
    cells = F.pixel_unshuffle(torch.from_numpy(store.batch(indices)), BLOCK)
    return cells.permute(0, 2, 3, 1).reshape(-1, BLOCK**2)


def routing_curve(run: Path, models: dict[str, Any]) -> list[dict[str, float]]:
    """Defects missed at 5 % false alarms if the highest-scoring share of normals by the small student is escalated.

    An image counts as flagged if it is escalated and the full student's score is above the threshold that leaves 5 %
    false alarms. Shares and thresholds are those of the test images themselves: a curve of what is possible, not of
    what the calibrated policy does. Time: low-resolution graph, plus share times full graph (medians of the report).
    """
    rows = files.read_json(run / "report" / "predictions.json")["images"]
    labels = np.array([row["label"] for row in rows])
    low, full = (np.array([row["scores"][name] for row in rows]) for name in ("lowres", "full"))
    policy = RoutingPolicy.from_dict(files.read_json(run / "router" / "policy.json"))
    low, full = policy.standardise_lowres(low), policy.standardise_full(full)
    normal, curve = labels == 0, []
    for share in ESCALATIONS:
        bar = np.quantile(low[normal], 1 - share) if share < 1 else -np.inf
        score = np.where(low > bar, full, -np.inf)
        curve.append(
            {
                "escalated_normals": float((low > bar)[normal].mean()),
                "fnr_at_fpr5": fnr_at_fpr(labels, score),
                "milliseconds": models["lowres"]["latency_ms"]["p50"]
                + share * models["full"]["latency_ms"]["p50"],
            }
        )
    curve.append(
        {
            "escalated_normals": 0.0,
            "fnr_at_fpr5": fnr_at_fpr(labels, low),
            "milliseconds": models["lowres"]["latency_ms"]["p50"],
        }
    )
    return curve
