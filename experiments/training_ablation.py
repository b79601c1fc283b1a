"""What each ingredient of a student's training is worth.

The low-resolution student of a finished run is trained again without it:

    .venv/bin/python experiments/training_ablation.py RUN OUT [--only NAME ...]

RUN is a finished run (`waferroute run`); its data, teacher, intermediate and target models are used as they are, and
its own low-resolution student is the first row. Each further row changes one thing, trains the student with as many
steps, and measures it on the run's test images. Some minutes a row; rows that are under OUT already are not repeated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from refits import Tested

from distill import imitation
from distill.config import DistillConfig
from distill.stages import run_stage
from eval.metrics import PixelHistograms
from wafer_data.allocator import keep_freed_memory
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json
from wafer_data.store import ImageStore

Change = Callable[[DistillConfig, int], DistillConfig]
"""Of the configuration and the number of training normals."""
CONFIGURED = "as configured"


def in_pool(**values: object) -> Change:
    """The training pool changed."""
    return lambda config, normals: config.model_copy(update={"pool": config.pool.model_copy(update=values)})


def in_stage(**values: object) -> Change:
    """The student's stage changed."""
    return lambda config, normals: config.model_copy(
        update={"lowres": config.lowres.model_copy(update=values)}
    )


def with_copies(share: float) -> Change:
    """That share of the copies, as many steps in all."""

    def change(config: DistillConfig, normals: int) -> DistillConfig:
        before = normals + config.pool_of(config.lowres).generated
        after = normals + round(share * config.pool_of(config.lowres).generated)
        epochs = round(config.lowres.epochs * before / after)
        fewer = in_pool(generated=after - normals)(config, normals)
        return in_stage(copies=1, epochs=epochs)(fewer, normals)

    return change


def in_student(**values: object) -> Change:
    """The student's shape changed."""

    def change(config: DistillConfig, normals: int) -> DistillConfig:
        student = config.lowres.student.model_copy(update=values)
        return in_stage(student=student)(config, normals)

    return change


def fewer_steps(config: DistillConfig, normals: int) -> DistillConfig:
    """A third of the epochs."""
    return in_stage(epochs=config.lowres.epochs // 3)(config, normals)


def unchanged(config: DistillConfig, normals: int) -> DistillConfig:
    """As configured."""
    return config


CHANGES: dict[str, Change] = {
    CONFIGURED: unchanged,
    "no copies: training normals only": with_copies(0.0),
    "a third of the copies": with_copies(1 / 3),
    "copies, none with a synthetic anomaly": in_pool(synthetic_share=0.0),
    "no mirrored copies as anomalies": in_pool(foreign_mirrors=False),
    "directions weighted alike": unchanged,  # see `measure`
    "taught by the teacher, not in stages": in_stage(teacher="teacher"),
    "residual blocks": in_student(block="residual"),
    "a third of the steps": fewer_steps,
}


def alike(task: imitation.ImitationTask, rows: np.ndarray) -> torch.Tensor:
    """Weights of the directions, all one."""
    return torch.ones(1, task.target(rows[:1]).shape[1], 1, 1)


def measure(name: str, run: Path, out: Path) -> dict[str, float]:
    """Train the student with one change and measure it on the test images."""
    if name == CONFIGURED:
        return figures(run)
    out.mkdir(parents=True, exist_ok=True)
    for part in ("data", "teacher", "intermediate", "target"):
        if not (out / part).exists():
            (out / part).symlink_to((run / part).resolve())
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    section = {**settings["distill"], "seed": settings["run"]["seed"], "wandb": "disabled"}
    store = ImageStore.open(run / "data")
    config = CHANGES[name](DistillConfig.model_validate(section), len(store.indices("train", label=0)))
    weights = imitation.direction_weights
    if name == "directions weighted alike":
        imitation.direction_weights = alike
    try:
        run_stage("lowres", config, out, store)
    finally:
        imitation.direction_weights = weights
    return figures(out)


def figures(out: Path) -> dict[str, float]:
    """AUROC, FNR at 5 % FPR and pixel AUROC (where there are masks) of the trained student."""
    tested = Tested(out, "lowres")
    auroc, fnr = tested.figures(tested.student.likelihood, np.arange(len(tested.labels)))
    pixels, masks = PixelHistograms(), 0
    for _, heat, mask in tested.maps(tested.student.likelihood):
        masks += mask.any()
        pixels.update(heat, mask)
    pixel_auroc = pixels.auroc() if masks else float("nan")
    return {"auroc": auroc, "fnr": fnr, "pixel_auroc": pixel_auroc}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(CHANGES), default=list(CHANGES), metavar="NAME")
    args = parser.parse_args()
    keep_freed_memory()
    print("| change | AUROC | FNR | pixel AUROC |\n|---|---|---|---|")
    for number, name in enumerate(CHANGES):
        if name not in args.only:
            continue
        done = args.out / f"{number}.json"
        if not done.is_file():
            try:
                write_json(done, measure(name, args.run, args.out / str(number)))
            except InputError as error:
                parser.error(str(error))
        row = read_json(done)
        print(f"| {name} | {row['auroc']:.4f} | {row['fnr']:.1%} | {row['pixel_auroc']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
