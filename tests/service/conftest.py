"""A worker in this process, with a real bundle, a real journal and a real SQLite file."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.app import create_app, open_service
from service.auth.keys import make_key
from service.models import Version, load_version
from service.settings import Settings
from service.state import Service
from service.store.migrate import migrate
from tests.tool_side.conftest import _student_graph as student_graph
from tests.tool_side.conftest import bundle, calibrated, wafer, write_bundle

# fixtures of the tool side that these tests use by their names
__all__ = ["bundle", "calibrated", "student_graph", "write_bundle"]


def png(seed: int, defect: float = 0.0) -> bytes:
    """A synthetic wafer image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(wafer(seed, defect)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session", name="png")
def _png() -> Callable[..., bytes]:
    return png


@pytest.fixture(scope="session")
def version(bundle: Path) -> Version:
    return load_version(bundle, "v1.0.0")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", node="a")


@pytest.fixture
def service(settings: Settings, version: Version) -> Service:
    settings.data.mkdir(exist_ok=True)
    return open_service(settings, version)


@pytest.fixture
def key(service: Service) -> str:
    """A key that may send images and read results."""
    migrate(service.database)
    with service.database.write() as connection:
        return make_key(connection, "tester", ["inspect", "read"])


@pytest.fixture
def client(service: Service, key: str) -> Iterator[TestClient]:
    """The worker, running, and a program that has the key."""
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as running:
        yield running


@pytest.fixture(scope="session")
def bundles(
    write_bundle: Callable[..., Path],
    student_graph: Callable[..., bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """Three bundles with different graphs."""
    root = tmp_path_factory.mktemp("versions")
    return [write_bundle(root / f"b{i}", full=student_graph(64, offset=1e-3 + i * 1e-5)) for i in range(3)]
