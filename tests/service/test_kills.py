"""Workers that are killed lose nothing that was answered, and double nothing (see `benchmarks/service_kills.py`)."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType


def test_kills_under_load(
    bundle: Path, png: Callable[..., bytes], tmp_path: Path, benchmark: Callable[[str], ModuleType]
) -> None:
    images = [png(seed, 0.4 * (seed == 3)) for seed in range(6)] + [b"no image at all"]
    found = benchmark("service_kills").survive_kills(bundle, images, tmp_path, kills=3, seed=5)
    assert found["answered"] > 20 and found["failed"] == 0, found
    assert (found["lost"], found["doubled"], found["wrong"], found["wrong_pass"]) == (0, 0, 0, 0), found
    assert found["problems"] == [], found
