"""Bundles to register: those of the tool side's tests."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def _module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_bundles = _module("lifecycle_test_bundles", Path(__file__).parents[1] / "tool_side" / "conftest.py")
calibrated, write_bundle, student_graph = _bundles.calibrated, _bundles.write_bundle, _bundles._student_graph


@pytest.fixture(scope="session")
def bundles(
    write_bundle: Callable[..., Path],
    student_graph: Callable[..., bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """Three bundles with different graphs."""
    root = tmp_path_factory.mktemp("versions")
    return [write_bundle(root / f"b{i}", full=student_graph(64, offset=1e-3 + i * 1e-5)) for i in range(3)]
