"""Tables in 16 bits: half the bytes on the disk, nothing of it left at run time, scores as good as unchanged."""

import numpy as np
import onnx
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tool_side.export.tables import LARGEST, pack_tables, to_whole_numbers
from tool_side.runtime.session import session_options


def product(table: np.ndarray) -> onnx.ModelProto:
    """y = x @ table."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "table"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", table.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", table.shape[1]])],
        [numpy_helper.from_array(table.astype(np.float32), "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(1))
    return session.run(None, {"x": x})[0]


@given(st.integers(0, 2**32 - 1), st.integers(0, 8), st.booleans())
@settings(max_examples=30, deadline=None)
def test_no_entry_is_off_by_more_than_half_a_step(seed: int, exponent: int, columns: bool) -> None:
    """Whatever the sizes, also where rows or columns differ by orders of magnitude."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-exponent, exponent, 12) if exponent else np.ones(12)
    table = (rng.normal(size=(12, 12)) * (sizes if columns else sizes[:, None])).astype(np.float32)
    whole, factor = to_whole_numbers(table)
    assert whole.dtype == np.int16 and factor.dtype == np.float32
    assert np.abs(whole.astype(int)).max() <= LARGEST
    assert (np.abs(whole * factor.astype(float) - table) <= 0.501 * factor).all()


def test_zeros_stay_zeros() -> None:
    whole, factor = to_whole_numbers(np.zeros((3, 4), np.float32))
    assert not whole.any() and np.isfinite(factor).all()


def test_matrices_one_by_one() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(5, 6, 6)).astype(np.float32) * 10.0 ** np.arange(5)[:, None, None]
    whole, factor = to_whole_numbers(table)
    np.testing.assert_allclose(whole * factor, table, atol=0, rtol=0.02)
    assert np.abs(whole * factor / table - 1).mean() < 1e-3


def test_a_large_table_takes_half_the_bytes_and_gives_the_same_product() -> None:
    rng = np.random.default_rng(0)
    model = product(rng.normal(size=(128, 512)))
    packed = pack_tables(model)
    assert len(packed.SerializeToString()) < 0.52 * len(model.SerializeToString())
    x = rng.normal(size=(3, 128)).astype(np.float32)
    exact = run(model, x)
    assert np.abs(run(packed, x) - exact).max() < 1e-4 * np.abs(exact).max()
    assert [node.op_type for node in model.graph.node] == ["MatMul"]


def test_onnxruntime_does_the_unpacking_once_when_it_loads(tmp_path) -> None:
    """Otherwise every image would pay for it."""
    options = session_options(1)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    packed = pack_tables(product(np.random.default_rng(0).normal(size=(128, 512))))
    onnxruntime.InferenceSession(packed.SerializeToString(), options)
    assert [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node] == ["MatMul"]


def test_small_tables_stay() -> None:
    model = product(np.ones((8, 8)))
    assert pack_tables(model).SerializeToString() == model.SerializeToString()
