"""A run's students and policy as one bundle for the tool computer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from router.monitor_reference import reference_of
from router.policy import RoutingPolicy
from router.route_scores import RouteScores
from student_vae import StudentVAE, load_student
from teacher.model import load_teacher
from tool_side.bundle.check_pattern import record_check
from tool_side.bundle.load import CROPS, MODEL_NAMES, Preprocessing, write_manifest
from tool_side.bundle.recipes import MONITOR
from tool_side.export.crop_graph import crop_graph
from tool_side.export.graph import decoder_graph, scoring_graph
from tool_side.export.parity import (
    Agreement,
    CheckImages,
    PaintDefect,
    check_images,
    compare_scores,
    graph_scores,
    pytorch_scores,
)
from tool_side.export.tables import pack_tables
from wafer_data.errors import InputError
from wafer_data.files import new_directory, read_json, write_bytes, write_json
from wafer_data.store import ImageStore

PACKAGES = ("waferroute", "torch", "onnx", "onnxruntime", "numpy", "pillow")
STUDENTS = MODEL_NAMES


def export_bundle(
    run_dir: Path,
    out_dir: Path,
    config_sha256: str | None = None,
    *,
    paint: PaintDefect | None = None,
    int8: bool = False,
) -> None:
    """Write the bundle of a run as a whole: ONNX graphs, policy, certificate and a manifest that seals them.

    The graphs are checked at once against PyTorch, on calibration images and, with `paint`, on synthetic defects;
    the manifest's `parity` says what was found. `config_sha256` identifies the configuration in the manifest.
    Without `int8` the same run gives the same bytes each time.

    int8: also try 8-bit graphs; a student's becomes the bundle's only if no decision changes and it is faster on
    this computer. The manifest's `variants` says what was found either way.

    Raises:
        InputError: a student or the policy is missing (the message names the command that makes it), or a graph
            decides otherwise than PyTorch.
    """
    students, policy = load_run(run_dir)
    store = ImageStore.open(run_dir / "data")
    checked = check_images(store, policy, paint)
    exact = pytorch_scores(students, checked.images)
    reference = checked.routed(exact.lowres, exact.full)
    graphs, tables, agreement = _checked_graphs(students, policy, checked, reference)
    variants: dict[str, Any] = {}
    if int8:
        from tool_side.export.int8 import choose_int8

        chosen = choose_int8(exact_graphs(students), policy, checked, reference, graphs)
        graphs, variants = chosen.graphs, {"int8": chosen.report}
        found = checked.routed(**{n: graph_scores(graphs[n], checked.images, n) for n in STUDENTS})
        agreement = compare_scores(policy, reference, found, checked.normals)
        if not agreement.holds:
            raise InputError(_disagreement(agreement, "the graphs chosen by export.int8"))
    calibration = read_json(run_dir / "router" / "calibration.json")
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    split = read_json(run_dir / "data" / "split.json")
    with new_directory(out_dir) as folder:
        models = {
            n: _write_student(folder, n, s, graphs[n], calibration["map_reference"][n])
            for n, s in students.items()
        }
        if (crops := _crop_graph(run_dir / "teacher", store.channels)) is not None:
            write_bytes(folder / CROPS, to_bytes(crops))
        write_json(folder / "policy.json", read_json(run_dir / "router" / "policy.json"))
        write_json(folder / "certificate.json", read_json(run_dir / "router" / "certificate.json"))
        certificate = read_json(folder / "certificate.json")
        write_json(
            folder / MONITOR, reference_of(np.array(calibration["lowres"]), policy, certificate).to_dict()
        )
        parity = {"reference": "PyTorch", "tables": tables, **agreement.to_dict()}
        write_manifest(
            folder,
            models=models,
            policy=policy.to_dict(),
            provenance=_provenance(run_dir, config_sha256),
            preprocessing=Preprocessing(
                **split["levels"],
                source=split.get("source_size"),
                tiling=None if store.reduced is None else store.reduced.tiling.to_dict(),
                colour=store.channels != 1,
            ),
            more={"parity": parity, **_questions(run_dir), **({"variants": variants} if variants else {})},
        )
        record_check(folder)


def load_run(run_dir: Path) -> tuple[dict[str, StudentVAE], RoutingPolicy]:
    """Both students, "lowres" and "full", and the policy of a run. Raises InputError if one is missing."""
    for needed in ("lowres/student.json", "full/student.json", "router/policy.json", "data/split.json"):
        if not (run_dir / needed).is_file():
            raise InputError(f"{run_dir / needed} is missing: run the stage that makes it before the export")
    policy = RoutingPolicy.from_dict(read_json(run_dir / "router" / "policy.json"))
    return {name: load_student(run_dir / name) for name in STUDENTS}, policy


def exact_graphs(students: Mapping[str, StudentVAE]) -> dict[str, onnx.ModelProto]:
    """The students' graphs in float; that of the full student also gives what its trunk sees of each cell."""
    return {name: scoring_graph(student, cells=name == "full") for name, student in students.items()}


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The file of a graph, the same bytes each time."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _checked_graphs(
    students: Mapping[str, StudentVAE],
    policy: RoutingPolicy,
    checked: CheckImages,
    reference: RouteScores,
) -> tuple[dict[str, bytes], str, Agreement]:
    """The students' graphs with tables in 16 bits if these change no decision, else in 32; how; and the agreement."""
    exact = exact_graphs(students)
    for tables in ("16 bits", "32 bits"):
        models = {n: pack_tables(m) for n, m in exact.items()} if tables == "16 bits" else exact
        graphs = {name: to_bytes(model) for name, model in models.items()}
        found = checked.routed(**{n: graph_scores(graphs[n], checked.images, n) for n in STUDENTS})
        agreement = compare_scores(policy, reference, found, checked.normals)
        if agreement.holds:
            return graphs, tables, agreement
    raise InputError(_disagreement(agreement, "the exported graphs"))


def _disagreement(agreement: Agreement, what: str) -> str:
    images = agreement.normals + agreement.synthetic_defects
    return (
        f"{what} decide otherwise than PyTorch on {agreement.decisions_differ} and take another route on "
        f"{agreement.routes_differ} of {images} calibration images and synthetic defects (largest deviation, in "
        f"spreads: {dict(agreement.deviation_spreads)}); nothing was exported. If the students were trained after "
        "the calibration, calibrate again; otherwise try another version of onnxruntime"
    )


def _write_student(
    folder: Path, name: str, student: StudentVAE, graph: bytes, map_reference: float
) -> dict[str, Any]:
    write_bytes(folder / f"{name}.onnx", graph)
    about = {
        "file": f"{name}.onnx",
        "input_size": student.input_size,
        "parameters": student.parameter_count,
        "map_reference": map_reference,
    }
    if student.decoder is not None:
        decoder = pack_tables(decoder_graph(student.decoder, student.likelihood.latent))
        write_bytes(folder / f"{name}_decoder.onnx", to_bytes(decoder))
        about["decoder"] = f"{name}_decoder.onnx"
    return about


def _crop_graph(teacher: Path, channels: int) -> onnx.ModelProto | None:
    """The look at crops by the run's teacher, if its backbone is of a kind that can be written as a graph."""
    about = teacher / "teacher.json"
    if not about.is_file() or read_json(about)["backbone"]["kind"] != "timm":
        return None  # a user's own network need not be at hand here
    return crop_graph(load_teacher(teacher).backbone, channels)


def _questions(run_dir: Path) -> dict[str, Any]:
    """Which questions the graphs answer, with which weights, and why: nothing of a teacher that was asked for none."""
    path = run_dir / "teacher" / "questions.json"
    if not path.is_file():
        return {}
    record = read_json(path)
    return {"questions": {key: record[key] for key in ("weights", "sentences") if key in record}}


def _provenance(run_dir: Path, config_sha256: str | None) -> dict[str, Any]:
    return {
        "data_fingerprint": read_json(run_dir / "data" / "split.json")["fingerprint"],
        "config_sha256": config_sha256,
        "package_versions": {name: metadata.version(name) for name in PACKAGES},
    }
