"""Every model of a run, and every baseline, behind one call: images in, scores and maps out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eval import baselines
from eval.baselines import Baseline
from eval.config import EvalConfig
from eval.training_curve import EpochLosses
from likelihood.arrays import on_arrays
from student_vae import load_student
from teacher import load_teacher
from wafer_data.errors import InputError
from wafer_data.progress import track
from wafer_data.store import ImageStore

STUDENTS = ("intermediate", "target", "full", "lowres")
MODEL_IMAGE_SIZE = 256
BATCH = 16
"""Images scored at a time; bounds the memory that an evaluation needs."""
_PYTORCH = f"PyTorch {version('torch').split('+')[0]}"


class Seen(NamedTuple):
    """What a baseline makes of images: scores (B,), and maps (B, h, w) where it has any."""

    score: np.ndarray
    map: np.ndarray | None


ScoreCall = Callable[[np.ndarray], Any]
"""float32 (B, 1, S, S) in [0, 1] -> an object with `score` (B,) and `map` (B, h, w) or None: `Seen`, or more."""


@dataclass(frozen=True)
class Scorer:
    """One model, or one baseline."""

    name: str
    parameters: int
    input_size: int
    score: ScoreCall
    engine: str
    """What runs when `score` is called, for the report."""
    losses: tuple[EpochLosses, ...] = ()
    """Of a baseline that was trained in epochs."""
    whole: bool = False
    """Whether it sees a large image as a whole, shrunk, as baselines do; else it is shown the tiles."""
    variants: Mapping[str, ScoreCall] = field(default_factory=dict)
    """Other settings of the same baseline, by what is set; their maps are not looked at."""


def load_scorers(
    run_dir: Path, store: ImageStore, config: EvalConfig, tool: Mapping[str, ScoreCall] | None = None
) -> dict[str, Scorer]:
    """The configured baselines, fitted on the training normals, and the models whose folders the run has.

    Raises `InputError` when the run has no model and no baseline is asked for, or the images do not fit its
    models.

    Args:
        tool: By student's name, the graph that scores on the tool, which is then what scores here too.
    """
    present = [name for name in ("teacher", *STUDENTS) if (run_dir / name / f"{_kind(name)}.json").is_file()]
    if not present and not config.baselines:
        raise InputError(f"{run_dir} holds no trained model: run the training stages before the evaluation")
    if present and store.size != MODEL_IMAGE_SIZE:
        raise InputError(
            f"the models see images of {MODEL_IMAGE_SIZE} px, but {run_dir} holds data of {store.size} px: "
            "prepare them again in a new folder"
        )
    scorers: dict[str, Scorer] = {
        name: replace(_baseline(name, store, config), whole=True) for name in config.baselines
    }
    for name in present:
        model = (load_teacher if name == "teacher" else load_student)(run_dir / name)
        model.eval()
        on_tool = (tool or {}).get(name)
        scorers[name] = Scorer(
            name,
            model.parameter_count,
            model.input_size,
            on_tool or on_arrays(model),
            f"ONNX Runtime {version('onnxruntime')}" if on_tool else _PYTORCH,
        )
    return scorers


def _kind(name: str) -> str:
    return "teacher" if name == "teacher" else "student"


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
        engine = _PYTORCH
    losses = fitted.losses if isinstance(fitted, baselines.PixelVaeBaseline) else ()
    return Scorer(name, fitted.parameter_count, fitted.input_size, _call(fitted), engine, losses)


def _pca(normals: Iterator[np.ndarray], config: EvalConfig) -> Scorer:
    """The configured number of components, chosen without a look at any test image, and the others beside it."""
    largest = baselines.fit_pca(normals, max([config.pca_components, *config.pca_variants]), seed=config.seed)
    chosen = largest.with_components(config.pca_components)
    variants = {
        str(count): _call(largest.with_components(count))
        for count in sorted(set(config.pca_variants))
        if count <= largest.components
    }
    call = _call(chosen)
    return Scorer("pca", chosen.parameter_count, chosen.input_size, call, "numpy", variants=variants)


def _call(fitted: Baseline) -> ScoreCall:
    return lambda images: Seen(*fitted.scores(images))


def _training_normals(
    store: ImageStore, config: EvalConfig, most: int, description: str
) -> Iterator[np.ndarray]:
    chosen = store.indices("train", 0)
    if len(chosen) > most:
        rng = np.random.default_rng(config.seed)
        chosen = np.sort(rng.choice(chosen, most, replace=False))
    starts = range(0, len(chosen), BATCH)
    for start in track(starts, description):
        yield store.batch(chosen[start : start + BATCH])
