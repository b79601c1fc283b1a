"""Bundles to register: those of the tool side's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tool_side.conftest import _student_graph as student_graph
from tests.tool_side.conftest import calibrated, write_bundle

# fixtures of the tool side that these tests use by their names
__all__ = ["calibrated", "student_graph", "write_bundle"]


@pytest.fixture(scope="session")
def bundles(
    write_bundle: Callable[..., Path],
    student_graph: Callable[..., bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """Three bundles with different graphs."""
    root = tmp_path_factory.mktemp("versions")
    return [write_bundle(root / f"b{i}", full=student_graph(64, offset=1e-3 + i * 1e-5)) for i in range(3)]
