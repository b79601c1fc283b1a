"""The closed-form fit of the teacher on any number of images: how much memory, and whether it grows.

    .venv/bin/python benchmarks/streaming_fit.py --images 50000

The images are synthetic micrographs, made one by one as they are asked for and kept nowhere; the backbone is timm's
smallest test network with random weights, so that the images' number is what takes the time. Nothing here says
anything about accuracy. Prints the peak memory (resident set) after a fit of a fiftieth of the images, and after one
of all.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import timm
from safetensors.torch import save_file

from likelihood import LevelConfig, LikelihoodConfig
from teacher.config import TeacherConfig
from teacher.fit import fit_teacher
from teacher.questions.config import QuestionsConfig
from wafer_data.micrograph import MicrographConfig, normal_image


class Micrographs:
    """What the fit asks of an image store, answered by the procedural generator (synthetic)."""

    size, channels, folder = 256, 1, Path()

    def __init__(self, count: int) -> None:
        self.fingerprint = f"{count} synthetic micrographs"
        self._count, self._config = count, MicrographConfig()

    @property
    def records(self) -> Micrographs:
        """As a sequence of records, of which the fit reads the hash alone."""
        return self

    def __getitem__(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(sha256=f"synthetic {index}")

    def tiles(self, folds: int) -> Micrographs:
        """The images are squares."""
        return self

    def indices(self, split: str, label: int | None = None) -> np.ndarray:
        """All are training normals."""
        return np.arange(self._count if split == "train" and label in (0, None) else 0)

    def pixels(self, index: int) -> np.ndarray:
        """(256, 256) float32 in [0, 1]."""
        return normal_image(self._config, 0, int(index))

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """(B, 1, 256, 256) float32."""
        return np.stack([self.pixels(i) for i in indices])[:, None]


def main() -> None:
    """Fit twice and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=50_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.safetensors"
        net = timm.create_model("test_efficientnet", pretrained=False, features_only=True)
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, weights)
        fine = LevelConfig(grid=16, mean_grid=16)
        config = TeacherConfig(
            backbone="file",
            model="test_efficientnet",
            weights=str(weights),
            map_size=16,
            directions=8,
            questions=QuestionsConfig(ask=[]),
            likelihood=LikelihoodConfig(levels=[LevelConfig(), fine]),
        )
        for images in (count // 50, count):
            started = time.monotonic()
            fit_teacher(config, Micrographs(images), Path(folder) / f"fit-{images}")  # type: ignore[arg-type]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{images} images: peak memory {peak:.0f} MB, {time.monotonic() - started:.0f} s", flush=True
            )


if __name__ == "__main__":
    main()
