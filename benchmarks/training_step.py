"""How long does a step of each student's training take here, on one core, and what is that time spent on?

    .venv/bin/python benchmarks/training_step.py
    ONEDNN_MAX_CPU_ISA=AVX2 .venv/bin/python benchmarks/training_step.py     # as on a computer without AVX-512

Steps of the default students on noise (what the images show does not change the time), in both layouts of memory that
convolutions can have; `training` uses channels last. Processor time, which other work on the computer disturbs little.
From it follow the minutes that the four trainings of a run need at least, on one core, and where a step's time goes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from distill.config import STAGES, DistillConfig, StageConfig
from student_vae import StudentVAE

LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
OPERATIONS = {
    "convolution, backward": "convolution_backward",
    "convolution, forward": "mkldnn_convolution",
    "batch normalisation, both ways": "native_batch_norm",
    "ReLU, backward": "threshold_backward",
    "AdamW": "Optimizer.step",
}


def step_of(stage: StageConfig, layout: torch.memory_format, directions: int) -> Callable[[], None]:
    """One optimiser step of a stage's trunk on `batch_size` images of noise."""
    torch.manual_seed(0)
    config = stage.student
    trunk = StudentVAE(config, directions, config.likelihood.coordinates, has_decoder=False).trunk.train()
    trunk = trunk.to(memory_format=layout)
    optimizer = torch.optim.AdamW(trunk.parameters())
    images = torch.randn(stage.batch_size, 1, config.input_size, config.input_size)

    def step() -> None:
        loss = trunk(images).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def seconds(step: Callable[[], None], count: int) -> float:
    """Median processor time of a step, after one that is not counted."""
    step()
    found = []
    for _ in range(count):
        started = time.process_time()
        step()
        found.append(time.process_time() - started)
    return statistics.median(found)


def shares(step: Callable[[], None]) -> dict[str, float]:
    """Share of a step's time by operation."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    events = found.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    return {
        name: sum(event.self_cpu_time_total for event in events if operation in event.key) / total
        for name, operation in OPERATIONS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument(
        "--images", type=int, default=263, help="training normals (default: those of make demo)"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    config, minutes = DistillConfig(), 0.0
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, oneDNN up to "
          f"{os.environ.get('ONEDNN_MAX_CPU_ISA', 'what the processor has')}; one thread")  # fmt: skip
    for name in STAGES:
        stage: StageConfig = getattr(config, name)
        taken = {layout: seconds(step_of(stage, form, 32), args.steps) for layout, form in LAYOUTS.items()}
        pool = args.images + config.pool_of(stage).generated
        stage_minutes = stage.epochs * pool / stage.batch_size * taken["channels last"] / 60
        minutes += stage_minutes
        said = ", ".join(f"{layout} {1000 * value:.0f} ms" for layout, value in taken.items())
        print(
            f"{name}: a step of {stage.batch_size} images {said}; {stage.epochs} epochs of {pool}: "
            f"{stage_minutes:.1f} min"
        )
    print(f"the four trainings: at least {minutes:.0f} min on one core")
    for operation, share in shares(step_of(config.full, torch.channels_last, 32)).items():
        print(f"  {share:.0%} of a step of full: {operation}")


if __name__ == "__main__":
    main()
