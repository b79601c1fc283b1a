"""8-bit graphs and TorchScript: checked like the bundle's graphs, and never a default that decides otherwise."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from distill.calibration import synthetic_anomaly
from router.policy import RoutingPolicy
from router.route_scores import RouteScores
from student_vae import StudentVAE
from tool_side import load_bundle
from tool_side.export import int8 as export_int8
from tool_side.export.graph import scoring_graph
from tool_side.export.int8 import choose_int8
from tool_side.export.parity import CheckImages, check_images, graph_scores, pytorch_scores
from tool_side.export.quantize import convolutions, quantize, sensitive
from tool_side.export.speed import SpeedRatio, in_turn
from tool_side.export.torchscript import export_torchscript, to_torchscript
from tool_side.export.write import export_bundle, load_run
from wafer_data.errors import InputError
from wafer_data.store import ImageStore


@pytest.fixture(scope="module")
def students(tiny_run: Path) -> dict[str, StudentVAE]:
    return load_run(tiny_run)[0]


@pytest.fixture(scope="module")
def policy(tiny_run: Path) -> RoutingPolicy:
    return load_run(tiny_run)[1]


@pytest.fixture(scope="module")
def checked(tiny_run: Path, policy: RoutingPolicy) -> CheckImages:
    return check_images(ImageStore.open(tiny_run / "data"), policy, synthetic_anomaly)


@pytest.fixture(scope="module")
def exact(students: dict[str, StudentVAE]) -> dict[str, onnx.ModelProto]:
    return {name: scoring_graph(student) for name, student in students.items()}


class TestQuantized:
    @pytest.fixture(scope="class")
    def eight(self, exact: dict[str, onnx.ModelProto], checked: CheckImages) -> onnx.ModelProto:
        model = exact["lowres"]
        layers = [name for name in convolutions(model) if name not in sensitive(model)]
        return quantize(model, layers, checked.images, checked.normals)

    def test_weights_are_8_bits_per_channel_and_7_of_them_used(self, eight: onnx.ModelProto) -> None:
        tables = {table.name: onnx.numpy_helper.to_array(table) for table in eight.graph.initializer}
        weights = [table for table in tables.values() if table.dtype == np.int8 and table.ndim == 4]
        assert weights
        assert max(np.abs(table.astype(int)).max() for table in weights) <= 64
        scales = [
            tables[node.input[1]]
            for node in eight.graph.node
            if node.op_type == "DequantizeLinear" and tables.get(node.input[0], np.empty(0)).ndim == 4
        ]
        assert all(scale.ndim == 1 and len(scale) > 1 for scale in scales)

    def test_first_and_last_convolution_and_the_likelihood_stay_in_float(
        self, eight: onnx.ModelProto, exact: dict[str, onnx.ModelProto]
    ) -> None:
        made = {name: node for node in eight.graph.node for name in node.output}
        for name in sensitive(exact["lowres"]):
            node = next(node for node in eight.graph.node if node.name == name)
            assert made.get(node.input[1], node).op_type != "DequantizeLinear"
        products = [node for node in eight.graph.node if node.op_type in ("MatMul", "Gemm")]
        assert products
        for node in products:
            assert all(made.get(name, node).op_type != "DequantizeLinear" for name in node.input)

    def test_scores_stay_near(
        self, eight: onnx.ModelProto, exact: dict[str, onnx.ModelProto], checked: CheckImages
    ) -> None:
        before, after = (
            graph_scores(model.SerializeToString(), checked.images) for model in (exact["lowres"], eight)
        )
        assert np.abs(np.log(after / before)).max() < 0.5
        assert not np.array_equal(before, after)

    def test_the_model_that_was_given_is_unchanged(
        self, eight: onnx.ModelProto, students: dict[str, StudentVAE], exact: dict[str, onnx.ModelProto]
    ) -> None:
        again = scoring_graph(students["lowres"]).SerializeToString(deterministic=True)
        assert exact["lowres"].SerializeToString(deterministic=True) == again


def renamed(model: onnx.ModelProto, layers: list[str], *_: object) -> onnx.ModelProto:
    """The same graph, told apart by its name."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    found.graph.name = f"{len(layers)} layers"
    return found


class TestChoice:
    """Speeds and scores are dictated here: what is tested is the choice."""

    @pytest.fixture
    def choose(self, exact, policy, checked, students, monkeypatch: pytest.MonkeyPatch):
        graphs = {name: model.SerializeToString(deterministic=True) for name, model in exact.items()}
        reference = pytorch_scores(students, checked.images)

        def choose(ratio: float, noise: float):
            rng = np.random.default_rng(0)
            monkeypatch.setattr(export_int8, "in_turn", lambda *_: SpeedRatio(1.0, 1 / ratio, ratio))
            monkeypatch.setattr(export_int8, "quantize", renamed)

            def scores(graph: bytes, images: np.ndarray, name: str) -> np.ndarray:
                own = getattr(reference, name)
                return (
                    own * np.exp(noise * rng.normal(size=len(own))) if graph not in graphs.values() else own
                )

            monkeypatch.setattr(export_int8, "graph_scores", scores)
            return graphs, choose_int8(exact, policy, checked, reference, graphs)

        return choose

    def test_faster_and_no_decision_changed_is_taken(self, choose) -> None:
        graphs, found = choose(1.5, 0.0)
        assert all(found.graphs[name] != graphs[name] for name in graphs)
        assert all(entry["default"] and entry["why_not"] is None for entry in found.report.values())

    def test_slower_is_left_out(self, choose) -> None:
        graphs, found = choose(0.9, 0.0)
        assert found.graphs == graphs
        assert "0.90 times as fast" in found.report["lowres"]["why_not"]

    def test_a_changed_decision_is_left_out_however_fast(self, choose) -> None:
        graphs, found = choose(9.0, 1.0)
        assert found.graphs == graphs
        entry = found.report["lowres"]
        assert not entry["default"] and "differ from PyTorch" in entry["why_not"]
        # fewer and fewer layers were tried
        assert [one["int8_layers"] for one in entry["tried"]] == sorted(
            (one["int8_layers"] for one in entry["tried"]), reverse=True
        )
        assert entry["tried"][-1]["int8_layers"] == 1


def test_speed_is_measured_in_turn(exact: dict[str, onnx.ModelProto], checked: CheckImages) -> None:
    graph = exact["lowres"].SerializeToString()
    found = in_turn(graph, graph, checked.images, runs=10)
    assert found.before_ms > 0 and found.after_ms > 0 and found.ratio > 0


def test_the_manifest_tells_what_was_tried(tiny_run: Path, tmp_path: Path) -> None:
    export_bundle(tiny_run, tmp_path / "bundle", paint=synthetic_anomaly, int8=True)
    bundle = load_bundle(tmp_path / "bundle")
    found = bundle.manifest["variants"]["int8"]
    assert set(found) == {"lowres", "full"}
    for name, entry in found.items():
        quantised = b"QuantizeLinear" in bundle.contents[f"{name}.onnx"]
        assert entry["default"] is quantised
        assert entry["parity"]["synthetic_defects"] > 0 and entry["speed"]["ratio"] > 0
    assert bundle.manifest["parity"]["decisions_differ"] == 0


class TestTorchScript:
    @pytest.mark.parametrize("batch", [1, 3])
    @pytest.mark.parametrize("name", ["lowres", "full"])
    def test_the_same_scores_at_any_batch_size(
        self, students: dict[str, StudentVAE], name: str, batch: int
    ) -> None:
        model, images = to_torchscript(students[name]), torch.rand(batch, 1, 256, 256)
        with torch.no_grad():
            for ours, theirs in zip(model(images), students[name].score(images), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)

    def test_batch_normalisation_is_folded(self, students: dict[str, StudentVAE]) -> None:
        assert "batch_norm" not in str(to_torchscript(students["full"]).graph)

    def test_the_folder_says_how_it_was_checked(self, tiny_run: Path, tmp_path: Path) -> None:
        out = tmp_path / "torchscript"
        found = export_torchscript(tiny_run, out, paint=synthetic_anomaly)
        assert sorted(path.name for path in out.iterdir()) == ["full.pt", "lowres.pt", "torchscript.json"]
        assert json.loads((out / "torchscript.json").read_text()) == found
        assert found["parity"]["decisions_differ"] == 0 and found["parity"]["synthetic_defects"] > 0
        export_torchscript(tiny_run, out)  # again, over itself

    def test_a_folder_with_other_things_is_left_alone(self, tiny_run: Path, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(InputError, match="holds other files"):
            export_torchscript(tiny_run, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_students_that_the_policy_does_not_know_are_not_exported(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tool_side.export import write as export

    def others(students: dict[str, StudentVAE], images: np.ndarray) -> RouteScores:
        found = pytorch_scores(students, images)
        return RouteScores(found.lowres[::-1].copy(), found.full[::-1].copy())

    monkeypatch.setattr(export, "pytorch_scores", others)
    with pytest.raises(InputError, match="decide otherwise than PyTorch on"):
        export_bundle(tiny_run, tmp_path / "bundle", paint=synthetic_anomaly)
    assert not (tmp_path / "bundle").exists()


def test_the_default_students_bundle_is_below_5_megabytes() -> None:
    """With every table at random, which no compression helps; both decoders included."""
    from distill.config import DistillConfig
    from tool_side.export.graph import decoder_graph
    from tool_side.export.tables import pack_tables
    from tool_side.export.write import to_bytes

    config, total = DistillConfig(), 0
    for stage in (config.full, config.lowres):
        shape = stage.student
        channels = shape.likelihood.channels_used(32)
        student = StudentVAE(shape, channels, shape.likelihood.latent, has_head=True).eval()
        for buffer in student.buffers():
            if buffer.is_floating_point():
                buffer.copy_(torch.rand_like(buffer) + 0.5)
        total += len(to_bytes(pack_tables(scoring_graph(student))))
        assert student.decoder is not None
        total += len(to_bytes(pack_tables(decoder_graph(student.decoder, student.likelihood.latent))))
    assert total < 4_500_000
