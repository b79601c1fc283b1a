"""A small real bundle: ONNX graphs that compute image statistics, and a policy calibrated on their scores."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.gate import fit_gate, measure_quality
from tool_side.bundle.load import write_manifest
from tool_side.runtime.inspector import Inspector
from wafer_data.files import write_json

NORMALS = 150


def wafer(seed: int, defect: float = 0.0) -> np.ndarray:
    """Textured uint8 image, 256 x 256; `defect` is the contrast of a 12 x 12 spot at a random place."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.normal(0, 1, (9, 9)).astype(np.float32)).resize((256, 256), 3)
    grain = Image.fromarray(rng.normal(0, 1, (85, 85)).astype(np.float32)).resize((256, 256), 2)
    grey = 0.5 + 0.03 * np.asarray(coarse) + 0.03 * np.asarray(grain) + rng.normal(0, 0.01, (256, 256))
    row, column = rng.integers(20, 220, 2)
    grey[row : row + 12, column : column + 12] += defect
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)


def square(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / np.float32(255)


def _constant(name: str, values: object, kind: int = TensorProto.FLOAT) -> onnx.TensorProto:
    array = np.asarray(values, dtype=np.float32 if kind == TensorProto.FLOAT else np.int64)
    return helper.make_tensor(name, kind, array.shape, array.ravel().tolist())


def _model(nodes: list, name: str, inputs: list, outputs: list, constants: list) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def student_graph(side: int, offset: float = 1e-3) -> bytes:
    """map = |image averaged to side x side - 0.5|, score = its maximum + offset, latent = (mean grey, score)."""
    step = 256 // side
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["pooled"], kernel_shape=[step, step], strides=[step, step]
        ),
        helper.make_node("Sub", ["pooled", "half"], ["centred"]),
        helper.make_node("Abs", ["centred"], ["absolute"]),
        helper.make_node("Squeeze", ["absolute", "channel"], ["map"]),
        helper.make_node("ReduceMax", ["map"], ["largest"], axes=[1, 2], keepdims=0),
        helper.make_node("Add", ["largest", "offset"], ["score"]),
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["score", "channel"], ["score_column"]),
        helper.make_node("Concat", ["mean", "score_column"], ["latent"], axis=1),
    ]
    constants = [
        _constant("half", 0.5),
        _constant("offset", offset),
        _constant("channel", [1], TensorProto.INT64),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 256, 256])]
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("map", TensorProto.FLOAT, ["N", side, side]),
        helper.make_tensor_value_info("latent", TensorProto.FLOAT, ["N", 2]),
    ]
    return _model(nodes, "student", inputs, outputs, constants).SerializeToString()


def decoder_graph(side: int = 128) -> bytes:
    """A flat reconstruction at the mean grey."""
    nodes = [
        helper.make_node("Slice", ["latent", "start", "end", "axis"], ["mean"]),
        helper.make_node("Reshape", ["mean", "shape"], ["pixel"]),
        helper.make_node("Mul", ["pixel", "ones"], ["reconstruction"]),
    ]
    constants = [
        _constant("start", [0], TensorProto.INT64),
        _constant("end", [1], TensorProto.INT64),
        _constant("axis", [1], TensorProto.INT64),
        _constant("shape", [-1, 1, 1, 1], TensorProto.INT64),
        _constant("ones", np.ones((1, 1, side, side))),
    ]
    inputs = [helper.make_tensor_value_info("latent", TensorProto.FLOAT, ["N", 2])]
    outputs = [helper.make_tensor_value_info("reconstruction", TensorProto.FLOAT, ["N", 1, side, side])]
    return _model(nodes, "decoder", inputs, outputs, constants).SerializeToString()


def scores(graph: bytes, images: np.ndarray) -> np.ndarray:
    """Raw scores of images (n, 256, 256) float32, in one batch."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(["score"], {"image": images[:, np.newaxis]})[0]


WriteBundle = Callable[..., Path]


@pytest.fixture(scope="session", name="wafer")
def _wafer() -> Callable[..., np.ndarray]:
    return wafer


@pytest.fixture(scope="session", name="student_graph")
def _student_graph() -> Callable[..., bytes]:
    return student_graph


@pytest.fixture(scope="session", name="decoder_graph")
def _decoder_graph() -> Callable[..., bytes]:
    return decoder_graph


@pytest.fixture(scope="session", name="scores")
def _scores() -> Callable[[bytes, np.ndarray], np.ndarray]:
    return scores


@pytest.fixture(scope="session")
def calibrated() -> tuple[dict, dict]:
    """Policy and certificate from 150 normal images."""
    images = np.stack([square(wafer(seed)) for seed in range(NORMALS)])
    gate = fit_gate([measure_quality(image) for image in images])
    lowres, full = scores(student_graph(32), images), scores(student_graph(64), images)
    policy, certificate = calibrate_policy(lowres, full, gate, RouterConfig())
    return policy.to_dict(), certificate


@pytest.fixture(scope="session")
def write_bundle(calibrated: tuple[dict, dict]) -> WriteBundle:
    """write_bundle(folder, lowres=, full=, policy=, crops=): a bundle whose graphs or policy may be replaced."""

    def write(
        folder: Path,
        lowres: bytes = student_graph(32),
        full: bytes = student_graph(64),
        policy: dict | None = None,
        crops: bytes | None = None,
        **decoders: bytes,
    ) -> Path:
        folder.mkdir(parents=True)
        (folder / "lowres.onnx").write_bytes(lowres)
        (folder / "full.onnx").write_bytes(full)
        models: dict[str, dict] = {
            "lowres": {"file": "lowres.onnx", "input_size": 32, "parameters": 1, "map_reference": 0.15},
            "full": {"file": "full.onnx", "input_size": 256, "parameters": 1, "map_reference": 0.2},
        }
        for name, graph in decoders.items():
            (folder / f"{name}.onnx").write_bytes(graph)
            models[name.removesuffix("_decoder")]["decoder"] = f"{name}.onnx"
        if crops is not None:
            (folder / "crops.onnx").write_bytes(crops)
        policy = policy or calibrated[0]
        write_json(folder / "policy.json", policy)
        write_json(folder / "certificate.json", calibrated[1])
        write_manifest(folder, models=models, policy=policy, provenance={"data_fingerprint": "test"})
        return folder

    return write


@pytest.fixture(scope="session")
def bundle(write_bundle: WriteBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The standard bundle, with a decoder for the full student. Not to be changed."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "bundle", full_decoder=decoder_graph())


@pytest.fixture(scope="session")
def inspector(bundle: Path) -> Inspector:
    return Inspector(bundle)


@pytest.fixture(scope="session")
def bad_images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that cannot be judged, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("bad")
    whole = folder / "whole.png"
    Image.fromarray(wafer(0)).save(whole)
    files = {
        name: folder / f"{name}.png" for name in ("text", "empty", "truncated", "pixel", "black", "huge")
    }
    files["text"].write_text("this is no picture")
    files["empty"].touch()
    files["truncated"].write_bytes(whole.read_bytes()[:-2000])
    Image.new("L", (1, 1), 128).save(files["pixel"])
    Image.new("L", (300, 200), 0).save(files["black"])
    # Only the header says 20 000 x 20 000; its pixels are never looked at.
    Image.new("1", (20_000, 20_000)).save(files["huge"])
    files["missing"] = folder / "missing.png"
    files["folder"] = folder
    return files
