"""Adapting the teacher to normal images.

By gradient first, if the configuration asks for it (`teacher.gradient`); then in closed form: a spread of at most
`BASIS_IMAGES` sets each channel's scale and the principal directions, and the likelihood takes its passes over the
projected features (`likelihood.fit`). Memory does not depend on the number of images, and a fit that was killed
goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likelihood.answers import PLACE, Answers, attach_answers
from likelihood.config import LikelihoodConfig
from likelihood.fit import Fit
from likelihood.labels import fit_with_labels
from teacher.backbones import Backbone, build_backbone
from teacher.compiled import compile_blocks
from teacher.config import TeacherConfig
from teacher.gradient import adapt_by_gradient, fit_decoder
from teacher.model import Teacher, save_teacher
from teacher.normal_features import NormalFeatures
from teacher.on_ray import FeaturePass, hand_out, images_of
from teacher.pretrain.run import pretrained_backbone
from teacher.project import project_images
from teacher.questions.sample import draw_sample
from teacher.questions.trial import RECORD, try_questions
from teacher.questions.trial import SCHEMA as RECORD_SCHEMA
from teacher.symmetry import measure_symmetries
from teacher.symmetry_record import SYMMETRIES
from training.ahead import threads_for
from training.tensors import weights_digest
from wafer_data.errors import InputError
from wafer_data.files import new_directory, sha256_json, write_json
from wafer_data.imaging.planes import stacked
from wafer_data.learned_from import LearnedFrom
from wafer_data.progress import track
from wafer_data.shards.on_ray import cluster
from wafer_data.spread import spread
from wafer_data.store import ImageStore
from wafer_data.symmetric_copies import SAME, changes_from, in_folds, within

BASIS_IMAGES = 400
"""Images that set channel scales and directions: 400 x 1 024 positions is ample for a C x C covariance."""


def fit_teacher(
    config: TeacherConfig,
    store: ImageStore,
    out_dir: Path,
    pretrained: Path | None = None,
    backbone: Backbone | None = None,
) -> Teacher:
    """Fit the teacher to the training normals of `store` and write it to `out_dir`.

    Args:
        config: How it is adapted, and with which backbone.
        store: The images; those of the test are not read. Of large ones their tiles are what is learned from.
        out_dir: Folder of the teacher.
        pretrained: Folder of the stage `pretrain`, whose weights the backbone then has.
        backbone: Instead of the configured one.

    Returns:
        The fitted teacher, in evaluation mode.

    Raises:
        InputError: no weights, too few images, or more directions than the backbone has channels.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if backbone is None:
        backbone = build_backbone(config) if pretrained is None else pretrained_backbone(config, pretrained)
    if config.directions > backbone.channels:
        raise InputError(
            f"teacher.directions={config.directions} is more than the backbone's {backbone.channels} channels"
        )
    # inside the stage's folder: whoever clears that to start afresh clears the unfinished work with it
    work = out_dir / "checkpoint"
    learned = LearnedFrom.of(store)
    store = store.tiles(math.lcm(config.likelihood.folds, config.questions.folds))
    backbone = adapt_by_gradient(backbone, store, config.gradient, work)
    if config.compile and device.type == "cuda":
        compile_blocks(backbone)
    normals = store.indices("train", label=0)
    teacher = Teacher(backbone, config.directions, image_channels=store.channels).to(device).eval()
    fit_projection(teacher, store, spread(normals, BASIS_IMAGES), config)
    key = sha256_json([store.fingerprint, weights_digest(teacher)])

    def compute(indices: np.ndarray) -> Tensor:
        return project(teacher, store, indices, config)

    handed_out = work / "handed-out"
    if cluster() is not None:
        hand_out(teacher, handed_out)
    passes = FeaturePass(store.folder.absolute(), handed_out.absolute(), config)
    features = NormalFeatures(
        lambda rows: compute(normals[rows]),
        len(normals),
        (config.directions, config.map_size, config.map_size),
        work / "features",
        key,
        config.cache_gb,
        config.batch_size,
        threads_for(device) // 2,
        passes.elsewhere(),
    )
    symmetries = measure_symmetries(teacher, store, config, config.seed, features.rows)
    changes = within(changes_from(symmetries["exact"]), len(normals))
    residuals: Callable[[], Iterable[Tensor]] = features.batches
    if config.gradient.uses_decoder:
        changes = [SAME]  # the decoder has learned from the images as they are
        fitted = fit_decoder(features.rows, len(normals), config.gradient, work, key)
        teacher.decoder = fitted.decoder
        residuals = lambda: fitted.residuals(features.rows)  # noqa: E731 (one of three ways to read them)
    elif len(changes) > 1:
        residuals = _with_copies(teacher, store, replace(passes, changes=tuple(changes)), work, key).batches

    usual, loose = (config.likelihood.for_images(len(normals), len(changes), one) for one in (False, True))

    def likelihood_fit(likelihood: LikelihoodConfig) -> Fit:
        return fit_with_labels(residuals, _labelled(teacher, store, compute, config), likelihood, config.seed)

    fit = likelihood_fit(usual)
    teacher.likelihood = fit.likelihood
    record = _ask(teacher, fit, store, config)
    only_places = teacher.questions is None and teacher.decoder is None
    if only_places and symmetries["loose"] and loose != usual:
        # after the choice: tried is what other folds say, and fewer images are no match for so many coordinates
        teacher.likelihood = likelihood_fit(loose).likelihood
    teacher = teacher.cpu().eval()
    with new_directory(out_dir) as folder:
        save_teacher(teacher, config.likelihood, folder)
        write_json(folder / SYMMETRIES, symmetries)
        write_json(folder / RECORD, record)
        learned.write(folder)
    return teacher


def _ask(teacher: Teacher, fit: Fit, store: ImageStore, config: TeacherConfig) -> dict[str, Any]:
    """Try the configured questions; give the teacher those that are worth asking. Returns the record of the choice."""
    if not config.questions.ask or teacher.decoder is not None:
        why = "a decoder stands between features and likelihood" if teacher.decoder else "none is configured"
        return {
            "schema": RECORD_SCHEMA,
            "weights": {PLACE: 1.0},
            "sentences": [f"no further question: {why}"],
        }
    asked, device = config.questions, teacher.projection.device
    looked_at = min(max(asked.directions, teacher.directions), teacher.backbone.channels)

    def features_of(images: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and device.type == "cuda"):
            return teacher.project(images.to(device), looked_at)

    sample = draw_sample(store, features_of, asked.images, asked.folds, config.batch_size, config.seed)
    folds = config.likelihood.folds

    def place_scores(features: Tensor, places: np.ndarray) -> np.ndarray:
        found = np.zeros(len(places))
        for fold in np.unique(places % folds):
            rows = places % folds == fold
            found[rows] = fit.out_of_fold_scores(
                features[torch.from_numpy(rows), : teacher.directions], int(fold)
            )
        return found

    trial = try_questions(sample, place_scores, asked, config.seed)
    if trial.questions is not None:
        normals = (
            torch.cat([trial.questions(part), part[:, : teacher.directions]], 1) for part in sample.batches()
        )
        answers = Answers(trial.weights)
        attach_answers(fit.likelihood, answers, fit.normal_scores, normals, trial.known)
        teacher.questions = trial.questions.to(device)
    return trial.record


def _with_copies(
    teacher: Teacher, store: ImageStore, passes: FeaturePass, work: Path, key: str
) -> NormalFeatures:
    """Features of the training normals and of their mirrored and turned copies, as the students' fits see them."""
    config, changes, folds = passes.config, passes.changes, passes.config.likelihood.folds
    image_at = images_of(store, changes, folds)

    def compute(rows: np.ndarray) -> Tensor:
        images = stacked(image_at(int(row)) for row in rows)
        return project_images(teacher, torch.from_numpy(images), config)

    own_key = sha256_json([key, [list(change) for change in changes], folds])
    return NormalFeatures(
        compute,
        sum(1 for _ in in_folds(len(store.indices("train", label=0)), len(changes), folds)),
        (config.directions, config.map_size, config.map_size),
        work / "copies",
        own_key,
        config.cache_gb,
        config.batch_size,
        threads_for(teacher.projection.device) // 2,
        passes.elsewhere(),
    )


@torch.no_grad()
def _labelled(
    teacher: Teacher, store: ImageStore, compute: Callable[[np.ndarray], Tensor], config: TeacherConfig
) -> Iterator[Tensor]:
    """What the likelihood is to see of the labelled defects."""
    defects = store.indices("train", label=1)
    for start in range(0, len(defects), config.batch_size):
        found = compute(defects[start : start + config.batch_size]).float().cpu()  # where the decoder is
        yield found if teacher.decoder is None else found - teacher.decoder(found)


@torch.no_grad()
def fit_projection(teacher: Teacher, store: ImageStore, indices: np.ndarray, config: TeacherConfig) -> None:
    """Channel means, standard deviations and top principal directions of the backbone's features, in place."""
    device = teacher.projection.device
    channels = teacher.backbone.channels
    total = torch.zeros(channels, dtype=torch.float64)
    product = torch.zeros(channels, channels, dtype=torch.float64)
    count = 0
    for start in track(range(0, len(indices), config.batch_size), "directions of the features"):
        batch = torch.from_numpy(store.batch(indices[start : start + config.batch_size]))
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and device.type == "cuda"):
            raw = teacher.backbone(batch.to(device))
        rows = raw.float().permute(0, 2, 3, 1).reshape(-1, channels)
        total += rows.sum(0, dtype=torch.float64).cpu()
        product += (rows.T @ rows).double().cpu()
        count += len(rows)
    mean = total / count
    covariance = product / count - torch.outer(mean, mean)
    std = covariance.diagonal().clamp_min(0).sqrt() + 1e-6
    _, vectors = torch.linalg.eigh(covariance / torch.outer(std, std))
    teacher.channel_mean.copy_(mean.view(1, -1, 1, 1))
    teacher.channel_std.copy_(std.view(1, -1, 1, 1))
    teacher.projection.copy_(vectors.flip(1).T)


@torch.no_grad()
def project(teacher: Teacher, store: ImageStore, indices: np.ndarray, config: TeacherConfig) -> Tensor:
    """Projected features of `indices`, (B, d, map, map)."""
    return project_images(teacher, torch.from_numpy(store.batch(indices)), config)
