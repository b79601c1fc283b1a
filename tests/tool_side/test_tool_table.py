"""The benchmark behind the figures of docs/tool_side.md: how figures are put together and told. No time is asserted."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table() -> Iterator[ModuleType]:
    """tool_table.py, which finds its neighbours in its own folder, as when it is run."""
    folder = ROOT / "benchmarks"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("tool_table", folder / "tool_table.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(folder))


@pytest.fixture
def found(table: ModuleType) -> dict[str, Any]:
    means = {"lowres_array": 0.3, "full_array": 2.3, "lowres_png": 0.5, "full_png": 2.5, "full_graph": 1.9}
    return {
        "machine": {"processor": "some processor", "cores": 2, "onnxruntime": "1.0"},
        "escalation": 0.1,
        "images": 4,
        "load_average_before": 3.0,
        **table._composed(means | {"wide_resnet50": 150.0, "efficient_ad_s": 400.0}, 0.1),
        "least_cores": 0.99,
        "outside_share": 0.2,
        "routed_by_always_full": 0.31,
        "p99_by_p50": {"lowres_array": 3.0, "full_array": 1.2},
        "start_up_s": 0.4,
        "peak_bytes": 92e6,
        "install_bytes": None,
    }


def test_the_routed_mean_is_that_of_the_stated_escalation(found: dict[str, Any]) -> None:
    assert found["routed_array_ms"] == pytest.approx(0.9 * 0.3 + 0.1 * 2.3)
    assert found["routed_png_ms"] == pytest.approx(0.9 * 0.5 + 0.1 * 2.5)
    assert found["times_faster_than_wide_resnet50"] == pytest.approx(150 / 0.5)


def test_each_figure_is_held_against_goal_and_least(table: ModuleType, found: dict[str, Any]) -> None:
    text = table.as_text(found)
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert rows["| share of the routed time outside the networks"].endswith("| 20% | 25% | 40% | goal |")
    assert rows["| routed mean against always full, array in"].endswith("| 31% | 20% | 30% | short |")
    assert rows["| routed mean against WideResNet-50 features"].endswith("| 300x | 500x | 250x | enough |")
    assert rows["| p99 / p50, not escalated, other core busy"].endswith("| short |")
    assert rows["| peak memory of the process"].endswith("| 92 MB | 120 MB | 200 MB | goal |")
    assert "| bare install" not in rows  # was not measured
    assert "WARNING" not in text and "random weights" in text


def test_a_busy_computer_is_told(table: ModuleType, found: dict[str, Any]) -> None:
    text = table.as_text(found | {"least_cores": 0.4, "processor_routed_array_ms": 0.45})
    assert "WARNING" in text and "By processor time" in text and "routed mean, array in 0.45 ms" in text


def test_always_full_is_an_escalated_image_without_its_low_resolution_graph(table: ModuleType) -> None:
    def result(**seconds: float) -> object:
        return type("Result", (), {"seconds": seconds})

    calls = {
        "lowres_array": lambda run: result(lowres=0.2, full=0.0, total=0.4),
        "full_array": lambda run: result(lowres=0.2, full=1.1, total=1.5),
    }
    found = table.measure_route(calls, 0.1, 3)
    assert found["routed_by_always_full"] == pytest.approx((0.9 * 0.4 + 0.1 * 1.5) / 1.3)
    assert found["outside_share"] == pytest.approx(0.2 / (0.9 * 0.4 + 0.1 * 1.5))
