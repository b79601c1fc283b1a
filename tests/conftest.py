"""Fixtures shared by all tests: a small set of synthetic wafer-like images and a tiny backbone.

Under `pytest -n` (`make test`) each file belongs to one process; what several files need is made once for all of them.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

os.environ.setdefault("WAFERROUTE_QUIET", "1")
os.environ.setdefault("WANDB_MODE", "disabled")
if "PYTEST_XDIST_WORKER" in os.environ:  # processes beside each other: more threads would only wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts what it runs in the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

NORMALS, TEST_NORMALS, DEFECTS = 48, 12, 6
# What takes longest is begun first, so that no process is left alone with it at the end.
LONGEST = ("tests/test_end_to_end.py", "tests/tool_side/test_wheel.py", "tests/service/", "tests/eval/")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        places = [
            next((i for i, name in enumerate(LONGEST) if item.nodeid.startswith(name)), 9) for item in items
        ]
        items[:] = [item for _, item in sorted(zip(places, items, strict=True), key=lambda pair: pair[0])]


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, filled by `make(folder)` in the first process that asks; the others wait for it.

    Nothing may be changed in it.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared" / name
    folder.parent.mkdir(exist_ok=True)
    done = folder.with_name(f"{name}.done")
    with FileLock(folder.with_name(f"{name}.lock")):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def synthetic_wafer(rng: np.random.Generator, defect: str | None = None, size: int = 96) -> np.ndarray:
    """A synthetic line pattern, uint8; `defect` adds a dark scratch or a bright particle."""
    y, x = np.mgrid[:size, :size]
    phase = rng.uniform(0, 2 * np.pi)
    image = 0.5 + 0.2 * np.sin(2 * np.pi * x / 12 + phase) + rng.normal(0, 0.04, (size, size))
    image += rng.normal(0, 0.05)
    cy, cx = rng.integers(size // 4, 3 * size // 4, 2)
    if defect == "scratch":
        image[np.abs((y - cy) - (x - cx)) < 3] = 0.05
    elif defect == "particle":
        image[(y - cy) ** 2 + (x - cx) ** 2 < 100] = 0.95
    return (image.clip(0, 1) * 255).astype(np.uint8)


def defect_mask(image: np.ndarray, defect: str) -> np.ndarray:
    """Where `synthetic_wafer` painted its defect, uint8 0/255."""
    painted = image == (12 if defect == "scratch" else 242)
    return painted.astype(np.uint8) * 255


@pytest.fixture(scope="session")
def mvtec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic data set in MVTec layout with two defect types and masks."""
    return made_once(tmp_path_factory, "mvtec", write_mvtec)


def write_mvtec(root: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train/good", NORMALS), ("test/good", TEST_NORMALS)):
        (root / part).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(synthetic_wafer(rng)).save(root / part / f"{i:03d}.png")
    for defect in ("scratch", "particle"):
        (root / "test" / defect).mkdir(parents=True)
        (root / "ground_truth" / defect).mkdir(parents=True)
        for i in range(DEFECTS):
            image = synthetic_wafer(rng, defect)
            Image.fromarray(image).save(root / "test" / defect / f"{i:03d}.png")
            mask = Image.fromarray(defect_mask(image, defect))
            mask.save(root / "ground_truth" / defect / f"{i:03d}_mask.png")


@pytest.fixture(scope="session")
def tiny_data(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared data of `mvtec_folder`."""
    from wafer_data.config import DataConfig
    from wafer_data.store import prepare_data

    config = DataConfig(format="mvtec", root=str(mvtec_folder), calibration_fraction=0.4)
    return (
        made_once(tmp_path_factory, "prepared", lambda folder: prepare_data(config, folder / "data")) / "data"
    )


@pytest.fixture(scope="session")
def tiny_store(tiny_data: Path):
    """The image store of `tiny_data`."""
    from wafer_data.store import ImageStore

    return ImageStore.open(tiny_data)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of timm's smallest EfficientNet in a safetensors file: exercises the code, says nothing."""
    import timm
    import torch
    from safetensors.torch import save_file

    def make(folder: Path) -> None:
        torch.manual_seed(0)
        net = timm.create_model("test_efficientnet", pretrained=False, features_only=True)
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "tiny.safetensors")

    return made_once(tmp_path_factory, "weights", make) / "tiny.safetensors"


@pytest.fixture(scope="session")
def tiny_teacher_config(tiny_weights: Path):
    """A teacher on the tiny backbone with a 16 x 16 map and 8 directions."""
    from likelihood import LevelConfig, LikelihoodConfig
    from teacher import TeacherConfig
    from teacher.questions.config import QuestionsConfig

    levels = [LevelConfig(grid=4, mean_grid=4), LevelConfig(grid=16, mean_grid=4, covariance_block=2)]
    likelihood = LikelihoodConfig(
        latent=8, extra_coordinates=0, latent_grid=4, latent_directions=None, levels=levels, folds=3
    )
    return TeacherConfig(
        backbone="file",
        model="test_efficientnet",
        weights=str(tiny_weights),
        map_size=16,
        directions=8,
        likelihood=likelihood,
        questions=QuestionsConfig(ask=[]),
    )


@pytest.fixture(scope="session")
def tiny_run(tiny_data: Path, tiny_teacher_config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole trained run on synthetic images: teacher, all students, policy, bundle; no report."""
    import shutil

    from distill.calibration import calibrate_run
    from distill.stages import run_stage
    from router.config import RouterConfig
    from teacher.fit import fit_teacher
    from tool_side.export.write import export_bundle
    from wafer_data.store import ImageStore

    def make(run_dir: Path) -> None:
        shutil.copytree(tiny_data, run_dir / "data")
        store = ImageStore.open(run_dir / "data")
        fit_teacher(tiny_teacher_config, store, run_dir / "teacher")
        for name in ("intermediate", "target", "full", "lowres"):
            run_stage(name, tiny_distill_config(), run_dir, store)
        router = RouterConfig(escalation_target=0.2, escalation_budget=[0.05, 0.5], flag_rate=0.1)
        calibrate_run(run_dir, store, router)
        export_bundle(run_dir, run_dir / "bundle")

    return made_once(tmp_path_factory, "tiny", make)


@pytest.fixture(scope="module")
def ray_cluster():
    """A local Ray cluster of two workers."""
    import ray

    ray.shutdown()  # one that a test before started for its own pass lives until the program ends
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000)
    yield
    ray.shutdown()


def settings(section: str, model) -> dict:
    """What of a section of the configuration may stand in a file, JSON-friendly."""
    from waferroute.config import RunConfig
    from waferroute.fixed_values import defaults_of, reason_for

    def cut(content: dict, prefix: str) -> dict:
        kept = {key: value for key, value in content.items() if reason_for(f"{prefix}.{key}") is None}
        return {k: cut(v, f"{prefix}.{k}") if f"{prefix}.{k}" not in known else v for k, v in kept.items()}

    known = defaults_of(RunConfig)
    return cut(model.model_dump(mode="json"), section)


def small_run(images: Path, teacher, generated: int) -> dict:
    """Sections of a whole run of the command line on few images, small enough for a test."""
    distill = settings("distill", tiny_distill_config())
    distill["pool"] |= {"flips": "none", "generated": generated}
    return {
        "data": {"format": "mvtec", "root": str(images), "calibration_fraction": 0.4},
        "teacher": settings("teacher", teacher),
        "distill": distill,
        "router": {"escalation_target": 0.2, "escalation_budget": [0.05, 0.5], "flag_rate": 0.1},
        "eval": {"latency_runs": 10, "bootstrap": 100, "worst": 2, "baselines": ["pca"]},
    }


def tiny_distill_config():
    """Stages of a second each."""
    from distill.config import DistillConfig, PoolConfig, StageConfig
    from likelihood import LevelConfig, LikelihoodConfig
    from student_vae import StudentConfig

    def student(size: int, directions: int | None = None, **more) -> StudentConfig:
        levels = [
            LevelConfig(grid=4, directions=directions, mean_grid=4),
            LevelConfig(grid=8, directions=3, mean_grid=4, covariance_block=4),
        ]
        likelihood = LikelihoodConfig(
            latent=6, extra_coordinates=4, latent_grid=4, latent_directions=4, levels=levels, folds=3
        )
        return StudentConfig(input_size=size, width=0.25, likelihood=likelihood, **{"map_size": 16, **more})

    def stage(size: int, shape: dict | None = None, **more) -> StageConfig:
        return StageConfig(student=student(size, **(shape or {})), epochs=2, batch_size=8, **more)

    return DistillConfig(
        pool=PoolConfig(generated=24),
        intermediate=stage(128, elbo_epochs=0),
        target=stage(128, start_from="intermediate", elbo_epochs=0),
        full=stage(128, {"directions": 4}, teacher="target", elbo_epochs=2),
        lowres=stage(64, {"map_size": 8}, teacher="target", elbo_epochs=2),
        wandb="disabled",
    )
