"""Workers that are killed lose nothing that was answered, and double nothing (see `benchmarks/service_kills.py`)."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_kills_under_load(bundle: Path, png: Callable[..., bytes], tmp_path: Path) -> None:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("service_kills", BENCHMARKS / "service_kills.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    images = [png(seed, 0.4 * (seed == 3)) for seed in range(6)] + [b"no image at all"]
    found = module.survive_kills(bundle, images, tmp_path, kills=4, seed=5)
    assert found["answered"] > 20 and found["failed"] == 0, found
    assert (found["lost"], found["doubled"], found["wrong"], found["wrong_pass"]) == (0, 0, 0, 0), found
    assert found["problems"] == [], found
