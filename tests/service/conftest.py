"""A worker in this process, with a real bundle, a real journal and a real SQLite file."""

import datetime
import io
import ipaddress
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

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
def benchmark() -> Iterator[Callable[[str], ModuleType]]:
    """benchmark("service_kills"): that program of `benchmarks/`, which starts real workers, as a module."""
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    yield import_module
    sys.path.remove(folder)


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


@pytest.fixture
def own_certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Certificate and key of 127.0.0.1, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return tmp_path / "cert.pem", tmp_path / "key.pem"


@pytest.fixture(scope="session")
def bundles(
    write_bundle: Callable[..., Path],
    student_graph: Callable[..., bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """Three bundles with different graphs."""
    root = tmp_path_factory.mktemp("versions")
    return [write_bundle(root / f"b{i}", full=student_graph(64, offset=1e-3 + i * 1e-5)) for i in range(3)]
