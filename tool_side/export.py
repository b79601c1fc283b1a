"""A run's students and policy as one bundle for the tool computer."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from student_vae import StudentVAE, load_student
from tool_side.bundle import Preprocessing, write_manifest
from tool_side.check_pattern import record_check
from tool_side.graph import decoder_graph, scoring_graph
from wafer_data.errors import InputError
from wafer_data.files import new_directory, read_json, write_bytes, write_json

PACKAGES = ("waferroute", "torch", "onnx", "onnxruntime", "numpy", "pillow")
STUDENTS = ("lowres", "full")


def export_bundle(run_dir: Path, out_dir: Path, config_sha256: str | None = None) -> None:
    """Write the bundle of a run as a whole: ONNX graphs, policy, certificate and a manifest that seals them.

    The same run gives the same bytes each time. `config_sha256` identifies the configuration in the manifest.

    Raises:
        InputError: a student or the policy is missing; the message names the command that makes it.
    """
    for needed in ("lowres/student.json", "full/student.json", "router/policy.json", "data/split.json"):
        if not (run_dir / needed).is_file():
            raise InputError(f"{run_dir / needed} is missing: run the stage that makes it before the export")
    students = {name: load_student(run_dir / name) for name in STUDENTS}
    references = read_json(run_dir / "router" / "calibration.json")["map_reference"]
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with new_directory(out_dir) as folder:
        models = {n: _write_student(folder, n, s, references[n]) for n, s in students.items()}
        policy = read_json(run_dir / "router" / "policy.json")
        write_json(folder / "policy.json", policy)
        write_json(folder / "certificate.json", read_json(run_dir / "router" / "certificate.json"))
        write_manifest(
            folder,
            models=models,
            policy=policy,
            provenance=_provenance(run_dir, config_sha256),
            preprocessing=Preprocessing(**read_json(run_dir / "data" / "split.json")["levels"]),
        )
        record_check(folder)


def _write_student(folder: Path, name: str, student: StudentVAE, map_reference: float) -> dict[str, Any]:
    write_bytes(folder / f"{name}.onnx", scoring_graph(student).SerializeToString(deterministic=True))
    about = {
        "file": f"{name}.onnx",
        "input_size": student.input_size,
        "parameters": student.parameter_count,
        "map_reference": map_reference,
    }
    if student.decoder is not None:
        graph = decoder_graph(student.decoder, student.likelihood.latent)
        write_bytes(folder / f"{name}_decoder.onnx", graph.SerializeToString(deterministic=True))
        about["decoder"] = f"{name}_decoder.onnx"
    return about


def _provenance(run_dir: Path, config_sha256: str | None) -> dict[str, Any]:
    return {
        "data_fingerprint": read_json(run_dir / "data" / "split.json")["fingerprint"],
        "config_sha256": config_sha256,
        "package_versions": {name: metadata.version(name) for name in PACKAGES},
    }
