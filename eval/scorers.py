"""Every model of a run, and every baseline, behind one call: images in, scores and maps out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from eval import baselines
from eval.baselines import Baseline
from eval.config import EvalConfig
from eval.training_curve import EpochLosses
from student_vae import StudentVAE, load_student
from teacher import Teacher, load_teacher
from wafer_data.errors import InputError
from wafer_data.progress import track
from wafer_data.store import ImageStore

STUDENTS = ("intermediate", "target", "full", "lowres")
MODEL_IMAGE_SIZE = 256

ScoreCall = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class Scorer:
    """One model. `score` takes float32 (B, 1, S, S) in [0, 1] and gives scores (B,) and maps (B, h, w) or
    None.
    """

    name: str
    parameters: int
    input_size: int
    score: ScoreCall
    engine: str
    """What runs when `score` is called, for the report."""
    losses: tuple[EpochLosses, ...] = ()
    """Of a baseline that was trained in epochs."""
    variants: Mapping[str, ScoreCall] = field(default_factory=dict)
    """Other settings of the same baseline, by what is set; their maps are not looked at."""


def load_scorers(run_dir: Path, store: ImageStore, config: EvalConfig) -> dict[str, Scorer]:
    """The configured baselines, fitted on the training normals, and the models whose folders the run has.

    Raises `InputError` when the run has no model and no baseline is asked for, or the images do not fit its
    models.
    """
    present = [name for name in ("teacher", *STUDENTS) if (run_dir / name / f"{_kind(name)}.json").is_file()]
    if not present and not config.baselines:
        raise InputError(f"{run_dir} holds no trained model: run the training stages before the evaluation")
    if present and store.size != MODEL_IMAGE_SIZE:
        raise InputError(
            f"the models judge images of {MODEL_IMAGE_SIZE} px, but the data were prepared with "
            f"data.image_size={store.size}: set it to {MODEL_IMAGE_SIZE} and run again"
        )
    scorers: dict[str, Scorer] = {name: _baseline(name, store, config) for name in config.baselines}
    for name in present:
        scorers[name] = _deep(name, (load_teacher if name == "teacher" else load_student)(run_dir / name))
    return scorers


def _kind(name: str) -> str:
    return "teacher" if name == "teacher" else "student"


def _deep(name: str, model: Teacher | StudentVAE) -> Scorer:
    model.eval()

    @torch.inference_mode()
    def score(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = model.score(torch.from_numpy(images))
        return found.score.double().numpy(), found.map.numpy()

    return Scorer(
        name, model.parameter_count, model.input_size, score, f"PyTorch {torch.__version__.split('+')[0]}"
    )


def _baseline(name: str, store: ImageStore, config: EvalConfig) -> Scorer:
    most = (
        min(config.baseline_images, config.pixel_vae.images)
        if name == "pixel_vae"
        else config.baseline_images
    )
    normals = _training_normals(store, config, most, f"fitting {name}")
    fitted: Baseline
    if name == "pca":
        return _pca(normals, config)
    elif name == "gabor_lbp_ocsvm":
        fitted, engine = baselines.fit_gabor_lbp_ocsvm(normals), "scikit-image and scikit-learn"
    else:
        fitted = baselines.fit_pixel_vae(normals, config.pixel_vae, seed=config.seed)
        engine = f"PyTorch {version('torch').split('+')[0]}"
    losses = fitted.losses if isinstance(fitted, baselines.PixelVaeBaseline) else ()
    return Scorer(name, fitted.parameter_count, fitted.input_size, fitted.scores, engine, losses)


def _pca(normals: Iterator[np.ndarray], config: EvalConfig) -> Scorer:
    """The configured number of components, chosen without a look at any test image, and the others beside it."""
    largest = baselines.fit_pca(normals, max([config.pca_components, *config.pca_variants]), seed=config.seed)
    chosen = largest.with_components(config.pca_components)
    variants = {
        str(count): largest.with_components(count).scores
        for count in sorted(set(config.pca_variants))
        if count <= largest.components
    }
    return Scorer("pca", chosen.parameter_count, chosen.input_size, chosen.scores, "numpy", variants=variants)


def _training_normals(
    store: ImageStore, config: EvalConfig, most: int, description: str
) -> Iterator[np.ndarray]:
    chosen = store.indices("train", 0)
    if len(chosen) > most:
        rng = np.random.default_rng(config.seed)
        chosen = np.sort(rng.choice(chosen, most, replace=False))
    starts = range(0, len(chosen), config.batch_size)
    for start in track(starts, description):
        yield store.batch(chosen[start : start + config.batch_size])
