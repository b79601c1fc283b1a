"""The command itself: TLS, a taken port, a stop that drains."""

import datetime
import ipaddress
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.client import Client
from service.serve import Listen, run_worker
from service.settings import Settings
from wafer_data.errors import InputError


@pytest.fixture
def worker_class(request: pytest.FixtureRequest) -> type:
    import importlib.util

    path = Path(__file__).parents[2] / "benchmarks" / "service_worker.py"
    spec = importlib.util.spec_from_file_location("service_worker", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type = module.Worker
    return found


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """Certificate and key of 127.0.0.1, signed by itself."""
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
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


def test_tls_and_a_stop_that_drains(
    bundle: Path, png: Callable[..., bytes], tmp_path: Path, worker_class: type
) -> None:
    certificate, key = own_certificate(tmp_path)
    more = ("--tls-cert", str(certificate), "--tls-key", str(key), "--drain", "2")
    worker = worker_class(bundle, tmp_path / "data", more=more)
    worker.url = worker.url.replace("http://", "https://")
    context = ssl.create_default_context(cafile=str(certificate))
    worker.spawn()

    def ready() -> int:
        try:
            with urllib.request.urlopen(f"{worker.url}/readyz", timeout=5, context=context) as answer:
                assert answer.headers["strict-transport-security"]
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    try:
        until = time.monotonic() + 60
        while ready() != 200 and time.monotonic() < until:
            time.sleep(0.05)
        with Client(worker.url, worker.key(), context=context) as client:
            assert client.inspect(png(1), wafer_id="W", inspection_point=1)["decision"]
            worker.process.terminate()
            until = time.monotonic() + 10
            while ready() != 503 and time.monotonic() < until:
                time.sleep(0.02)
            assert ready() == 503, "the balancer is told to turn away"
            assert client.inspect(png(2), wafer_id="W", inspection_point=2)["decision"], (
                "and it still answers"
            )
        assert worker.process.wait(30) == 0
    finally:
        worker.kill()
    assert "Traceback" not in worker.log(), worker.log()


def test_a_folder_that_cannot_be_used_is_told(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(InputError, match="data"):
        run_worker(bundle, Settings(data=tmp_path / "data"), Listen())
