"""Both students for PyTorch programs: traced and frozen TorchScript, batch normalisation folded, any batch size.

Not part of the bundle: a TorchScript archive holds code, and loading one runs it. The runtime on the tool loads ONNX
graphs only; load these files where you would run any program of their maker.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from student_vae import StudentVAE
from tool_side.export.parity import (
    PaintDefect,
    check_images,
    compare_scores,
    pytorch_scores,
)
from tool_side.export.write import load_run
from wafer_data.errors import InputError
from wafer_data.files import new_directory, read_json, sha256_file, write_json
from wafer_data.imaging.planes import stacked
from wafer_data.store import ImageStore

SCHEMA = 1
DESCRIPTION = "torchscript.json"


class _Scoring(nn.Module):
    """`StudentVAE.score` with a plain tuple as its result."""

    def __init__(self, student: StudentVAE) -> None:
        super().__init__()
        self.student = student

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.student.score(image)
        return found.score, found.map, found.latent


def to_torchscript(student: StudentVAE) -> torch.jit.ScriptModule:
    """`image` float32 (N, C, 256, 256) in [0, 1] -> raw score (N,), map (N, h, h), latent (N, k)."""
    example = torch.rand(2, student.image_channels, 256, 256, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        # Sizes that are fixed by the architecture become constants, which tracing warns of.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(_Scoring(student).eval(), (example,), check_trace=False)
        frozen: torch.jit.ScriptModule = torch.jit.freeze(traced.eval())
    return frozen


def export_torchscript(
    run_dir: Path, out_dir: str | Path, *, paint: PaintDefect | None = None
) -> dict[str, Any]:
    """Write `lowres.pt`, `full.pt` and `torchscript.json` as a whole folder, checked like the bundle's graphs.

    Returns what torchscript.json holds: parity with PyTorch, sha256 of the files, versions.

    Raises:
        InputError: For an unfinished run, a folder that holds other things, or where a decision differs.
    """
    out_dir = Path(out_dir)
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / DESCRIPTION).is_file():
        raise InputError(f"{out_dir} holds other files: name a new folder for the TorchScript export")
    students, policy = load_run(run_dir)
    store = ImageStore.open(run_dir / "data")
    checked = check_images(store, policy, paint)
    exact = pytorch_scores(students, checked.images)
    reference = checked.routed(exact.lowres, exact.full)
    with new_directory(out_dir) as folder:
        scores = {}
        for name, student in students.items():
            path = folder / f"{name}.pt"
            torch.jit.save(to_torchscript(student), str(path))
            scores[name] = _scores(path, checked.images)
        agreement = compare_scores(policy, reference, checked.routed(**scores), checked.normals)
        if not agreement.holds:
            raise InputError(
                f"the TorchScript students decide otherwise than PyTorch on {agreement.decisions_differ} and take "
                f"another route on {agreement.routes_differ} images; nothing was written"
            )
        description = {
            "schema": SCHEMA,
            "files": {f"{name}.pt": sha256_file(folder / f"{name}.pt") for name in students},
            "outputs": ["score", "map", "latent"],
            "image_channels": store.channels,
            "levels": read_json(run_dir / "data" / "split.json")["levels"],
            "parity": {"reference": "PyTorch", **agreement.to_dict()},
            "parity_in_words": _in_words(agreement.to_dict()),
            "package_versions": {name: metadata.version(name) for name in ("waferroute", "torch")},
        }
        write_json(folder / DESCRIPTION, description)
    return description


@torch.no_grad()
def _scores(path: Path, images: np.ndarray, batch: int = 16) -> np.ndarray:
    """(n,) scores by the file as it was written. We made it a moment ago: this is the one place that loads one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.load(str(path))
    parts = [
        model(torch.from_numpy(stacked(images[start : start + batch])))[0].numpy()
        for start in range(0, len(images), batch)
    ]
    return np.concatenate(parts).astype(float)


def _in_words(parity: Mapping[str, Any]) -> str:
    images = parity["normals"] + parity["synthetic_defects"]
    return f"{parity['decisions_differ']} of {images} decisions differ from PyTorch's"
