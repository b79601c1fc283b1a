"""Bundles to register: those of the tool side's tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.auth.keys import make_key
from service.state import Service
from service.store.migrate import migrate
from service.versions.folder import VersionFolder
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


@pytest.fixture
def folder(tmp_path: Path, bundles: list[Path]) -> VersionFolder:
    """Production and a candidate, pushed; production decides."""
    folder = VersionFolder(tmp_path / "data" / "models")
    for bundle in bundles[:2]:
        folder.push(bundle)
    folder.promote("v1.0.0", by="eva", reason="first")
    return folder


@contextmanager
def answering(service: Service) -> Iterator[TestClient]:
    """A worker that answers, asked with a key to inspect and to read."""
    migrate(service.database)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read"])
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as running:
        yield running
