"""What tells one evaluation from another."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from eval.results import Provenance
from wafer_data.files import read_json
from wafer_data.store import ImageStore

_PACKAGES = ("waferroute", "numpy", "torch", "timm", "onnxruntime", "scikit-learn", "scikit-image", "scipy")


def describe(run_dir: Path, store: ImageStore, seed: int) -> Provenance:
    """Versions, machine, data and configuration of this evaluation."""
    config = run_dir / "config.yaml"
    return Provenance(
        run=run_dir.resolve().name,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        versions={"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        machine=_machine(),
        data_fingerprint=store.fingerprint,
        split_seed=read_json(run_dir / "data" / "split.json").get("seed"),
        evaluation_seed=seed,
        config_text=config.read_text(encoding="utf-8") if config.is_file() else None,
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _machine() -> str:
    return f"{_processor()}, {os.cpu_count()} threads, {platform.system()} {platform.machine()}"


def _processor() -> str:
    """The processor's name; Linux tells it in a file only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
