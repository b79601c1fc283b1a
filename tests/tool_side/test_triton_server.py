"""A real Triton server decides as the runtime does.

Runs where a Python has nvidia-pytriton (its `tritonserver` needs no Docker): `make triton` sets one up. The
package has no ONNX Runtime backend; what takes its place here only shows that the server accepts the configuration.
"""

import importlib.util
import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tool_side import Inspection, Inspector
from tool_side.triton.repository import export_triton

ROOT = Path(__file__).parents[2]
OUTPUTS = ["decision", "route", "reasons", "score", "lowres_score", "full_score", "map", "map_unit"]
Wafer = Callable[..., np.ndarray]


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("triton_server", ROOT / "benchmarks" / "triton_server.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


triton_server = _module()
PYTHON = triton_server.find_python()
pytestmark = pytest.mark.skipif(
    PYTHON is None,
    reason="no Python with nvidia-pytriton: `make triton` installs one into .venv-triton, or name one in "
    "WAFERROUTE_TRITON_PYTHON",
)


@pytest.fixture(scope="module", params=["python", "onnxruntime"])
def served(
    request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A client of a server that serves the bundle, its students run by the backend named in the parameter."""
    repository = tmp_path_factory.mktemp("triton") / "models"
    export_triton(bundle, repository, backend=request.param)
    stand_ins = {"onnxruntime": ONNX_STAND_IN} if request.param == "onnxruntime" else {}
    with triton_server.serving(repository, PYTHON, stand_ins=stand_ins) as client:
        yield client


# Triton loads a Python file as a whole backend, too. Batches, configuration and warm-up go through the server as they
# would with the real one.
ONNX_STAND_IN = """
from pathlib import Path
import onnxruntime
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        return config

    def initialize(self, args):
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        names = list(request.requested_output_names())
        image = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
        values = self.session.run(names, {"image": image})
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(names, values)])
"""


@pytest.fixture(scope="module")
def pictures(wafer: Wafer) -> list[np.ndarray]:
    """Normal wafers, defective ones, and two that cannot be judged: black, and of no detail."""
    flat = np.full((256, 256), 128, np.uint8)
    return [
        *(wafer(seed) for seed in range(8)),
        *(wafer(seed, 0.4) for seed in range(20, 26)),
        np.zeros_like(flat),
        flat,
    ]


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def assert_same(answer: dict[str, np.ndarray], expected: list[Inspection], inspector: Inspector) -> None:
    """Decision, route and reasons alike; scores but for the rounding of other versions of numpy and of batches."""
    assert answer["decision"].shape == (len(expected), 1)
    for name in ("decision", "route"):
        assert answer[name][:, 0].tolist() == [getattr(result, name) for result in expected]
    for name in ("score", "lowres_score", "full_score"):
        numbers = [getattr(result, name) for result in expected]
        ours = np.array([np.nan if number is None else number for number in numbers])
        np.testing.assert_allclose(answer[name][:, 0], ours, rtol=1e-4, atol=1e-6)
    for row, result in enumerate(expected):
        given = answer["reasons"][row, 0]
        assert bool(given) == bool(result.reasons)
        assert result.judged or given == "; ".join(result.reasons)
        shown = answer["map"][row]
        if result.map is None:
            assert np.isnan(shown).all() and np.isnan(answer["map_unit"][row, 0])
        else:
            repeated = np.kron(result.map, np.ones([64 // len(result.map)] * 2, np.float32))
            np.testing.assert_allclose(shown, repeated, atol=1e-6)
            assert answer["map_unit"][row, 0] == inspector.map_reference(result.route)


def test_one_image_a_request(served: Any, inspector: Inspector, pictures: list[np.ndarray]) -> None:
    expected = [inspector.inspect(picture) for picture in pictures]
    assert {result.route for result in expected} == {"lowres", "full", "none"}
    assert len({result.decision for result in expected}) > 1
    for picture, result in zip(pictures, expected, strict=True):
        assert_same(served.infer("routed", {"image": picture[np.newaxis]}, OUTPUTS), [result], inspector)
        assert_same(served.infer("routed", {"encoded": [png(picture)]}, OUTPUTS), [result], inspector)


def test_a_batch_that_takes_all_roads(served: Any, inspector: Inspector, pictures: list[np.ndarray]) -> None:
    expected = [inspector.inspect(picture) for picture in pictures]
    assert_same(served.infer("routed", {"image": np.stack(pictures)}, OUTPUTS), expected, inspector)


def test_other_sizes_and_depths(served: Any, inspector: Inspector, wafer: Wafer) -> None:
    for image in (wafer(3)[:150, :222], wafer(21, 0.4).astype(np.uint16) * 257):
        name = "image" if image.dtype == np.uint8 else "image16"
        answer = served.infer("routed", {name: image[np.newaxis]}, OUTPUTS)
        assert_same(answer, [inspector.inspect(image)], inspector)


def test_files_that_are_no_images(served: Any, inspector: Inspector, bad_images: dict[str, Path]) -> None:
    blobs = [
        bad_images[name].read_bytes() for name in ("text", "empty", "truncated", "pixel", "huge", "black")
    ]
    expected = [inspector.inspect(blob) for blob in blobs]
    assert {result.decision for result in expected} == {"REVIEW"}
    assert_same(served.infer("routed", {"encoded": blobs}, OUTPUTS), expected, inspector)


def test_many_callers_of_unlike_images_at_once(served: Any, inspector: Inspector, wafer: Wafer) -> None:
    """The server joins requests to batches; nobody gets another's result."""
    images = [wafer(seed, 0.4 if seed % 4 == 0 else 0.0)[: 256 - seed % 3 * 40] for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda image: served.infer("routed", {"image": image[np.newaxis]}, OUTPUTS), images)
        )
    for image, answer in zip(images, answers, strict=True):
        assert_same(answer, [inspector.inspect(image)], inspector)


def test_only_what_was_asked_for_comes_back(served: Any, pictures: list[np.ndarray]) -> None:
    assert set(served.infer("routed", {"image": pictures[0][np.newaxis]}, ["decision"])) == {"decision"}


def test_a_request_that_is_not_understood_is_refused(served: Any, pictures: list[np.ndarray]) -> None:
    both = {"image": pictures[0][np.newaxis], "encoded": [png(pictures[0])]}
    with pytest.raises(RuntimeError, match="exactly one of the inputs image, image16, encoded"):
        served.infer("routed", both, ["decision"])


def test_the_students_can_be_called_alone(
    served: Any, inspector: Inspector, pictures: list[np.ndarray]
) -> None:
    square = inspector.inspect(pictures[9], keep_image=True).image
    assert square is not None
    answer = served.infer("full", {"image": square[np.newaxis, np.newaxis]}, ["score", "map", "latent"])
    found = inspector.inspect(pictures[9])
    assert answer["score"].shape == (1, 1) and answer["score"][0, 0] == pytest.approx(
        found.full_score, rel=1e-5
    )
    assert found.map is not None and answer["map"][0].shape == found.map.shape


def test_an_unknown_recipe_is_not_judged(served: Any, pictures: list[np.ndarray]) -> None:
    answer = served.infer("routed", {"image": np.stack(pictures[:2]), "recipe": [b"main", b"other"]}, OUTPUTS)
    assert answer["decision"][1, 0] == "REVIEW" and "unknown recipe 'other'" in answer["reasons"][1, 0]
    assert answer["route"][1, 0] == "none"


@pytest.mark.parametrize("changed", ["policy.json", "model.onnx"])
def test_a_repository_that_was_changed_is_not_served(bundle: Path, tmp_path: Path, changed: str) -> None:
    export_triton(bundle, tmp_path / "models", backend="python")
    for path in (tmp_path / "models").rglob(changed):
        path.write_bytes(path.read_bytes() + b"\n")
    with (
        pytest.raises(RuntimeError, match=r"policy\.json|is not the graph"),
        triton_server.serving(tmp_path / "models", PYTHON, patience=60),
    ):
        pass
