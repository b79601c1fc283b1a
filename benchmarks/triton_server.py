"""Triton from the PyPI package `nvidia-pytriton`, without Docker, and a small client for it.

    .venv/bin/python benchmarks/triton_server.py MODEL_REPOSITORY --python .venv-triton/bin/python

serves a repository that `waferroute export --triton DIR --triton-backend python` wrote, until Ctrl-C or SIGTERM. The
package ships `tritonserver` with the Python backend only, and wants an older numpy than waferroute: `make triton`
makes an environment of its own for it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
OWN_VENV = ROOT / ".venv-triton" / "bin" / "python"
_WHERE = """
import importlib.util, json, sys, sysconfig
spec = importlib.util.find_spec("pytriton")
print(json.dumps({
    "package": spec and spec.submodule_search_locations[0], "bin": sys.exec_prefix + "/bin",
    "libpython": sysconfig.get_config_var("LIBDIR"), "version": "%d.%d" % sys.version_info[:2],
}))
"""


def find_python() -> str | None:
    """A Python that has nvidia-pytriton: of WAFERROUTE_TRITON_PYTHON, of `.venv-triton`, or this one; or None."""
    named = os.environ.get("WAFERROUTE_TRITON_PYTHON")
    for python in (named, str(OWN_VENV), sys.executable):
        if python and Path(python).exists() and _where(python)["package"]:
            return python
        if python and python == named:
            raise RuntimeError(f"WAFERROUTE_TRITON_PYTHON={named} has no nvidia-pytriton")
    return None


@contextlib.contextmanager
def serving(
    repository: Path, python: str, *, patience: float = 120.0, stand_ins: Mapping[str, str] | None = None
) -> Iterator[Client]:
    """Run `tritonserver` on the repository; yields a client once every model is ready.

    stand_ins: names of backends that the package lacks -> Python source of what takes their place.

    Raises RuntimeError, with the end of the server's log, if it does not become ready within `patience` seconds.
    """
    where = _where(python)
    package = Path(where["package"])
    ports = _free_ports(2)
    with tempfile.TemporaryDirectory(prefix="waferroute_triton_") as temporary:
        backends, log = Path(temporary) / "backends", Path(temporary) / "log"
        # The backend looks for the stub of its Python beside itself, and the package keeps one for each version.
        shutil.copytree(package / "tritonserver" / "backends", backends)
        stub = (
            package
            / "tritonserver"
            / "python_backend_stubs"
            / where["version"]
            / "triton_python_backend_stub"
        )
        shutil.copy(stub, backends / "python")
        for name, source in (stand_ins or {}).items():
            (backends / name).mkdir()
            (backends / name / "model.py").write_text(source)
        libraries = [str(package.parent / "nvidia_pytriton.libs"), where["libpython"]]
        process = subprocess.Popen(
            [
                str(package / "tritonserver" / "bin" / "tritonserver"),
                *("--model-repository", str(repository), "--backend-directory", str(backends)),
                *("--http-address", "127.0.0.1", "--http-port", str(ports[0])),
                *("--grpc-address", "127.0.0.1", "--grpc-port", str(ports[1])),
                *("--allow-metrics", "false", "--exit-timeout-secs", "5"),
            ],
            env={
                **os.environ,
                "PATH": f"{where['bin']}{os.pathsep}{os.environ['PATH']}",
                "LD_LIBRARY_PATH": os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]),
            },
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        try:
            client = Client("127.0.0.1", ports[0])
            end = time.monotonic() + patience
            while not client.ready():
                if process.poll() is not None or time.monotonic() > end:
                    # Its errors, without the tables that it draws of its settings.
                    lines = log.read_text(errors="replace").splitlines()
                    said = "\n".join(line for line in lines if not line.startswith(("|", "+", "I")))
                    raise RuntimeError(f"tritonserver did not become ready:\n{said[-4000:]}")
                time.sleep(0.1)
            yield client
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Client:
    """Speaks the KServe v2 protocol over HTTP with binary tensors; may be shared between threads."""

    def __init__(self, host: str, port: int) -> None:
        self.address = f"{host}:{port}"
        self._connections = threading.local()

    def ready(self) -> bool:
        """Whether the server and all its models are."""
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def infer(
        self, model: str, inputs: Mapping[str, np.ndarray | Sequence[bytes]], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Outputs by name. inputs: arrays with their batch dimension, or byte strings, which become a column.

        Raises RuntimeError with what the server said if it refuses the request.
        """
        described, blobs = zip(*(_packed(name, value) for name, value in inputs.items()), strict=True)
        wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
        header = json.dumps({"inputs": described, "outputs": wanted}).encode()
        status, headers, body = self._post(
            f"/v2/models/{model}/infer",
            header + b"".join(blobs),
            {"Inference-Header-Content-Length": str(len(header))},
        )
        if status != 200:
            raise RuntimeError(json.loads(body)["error"])
        length = int(headers["Inference-Header-Content-Length"])
        found, position = {}, length
        for output in json.loads(body[:length])["outputs"]:
            size = output["parameters"]["binary_data_size"]
            found[output["name"]] = _unpacked(output, body[position : position + size])
            position += size
        return found

    def _post(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, Any], bytes]:
        connection = getattr(self._connections, "kept", None)
        if connection is None:
            connection = self._connections.kept = HTTPConnection(self.address, timeout=60)
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


_KINDS = {"uint8": "UINT8", "uint16": "UINT16", "float32": "FP32"}
_TYPES = {"FP32": np.float32, "FP64": np.float64}


def _packed(name: str, value: np.ndarray | Sequence[bytes]) -> tuple[dict[str, Any], bytes]:
    if isinstance(value, np.ndarray):
        kind, shape, blob = _KINDS[value.dtype.name], list(value.shape), value.tobytes()
    else:
        kind, shape = "BYTES", [len(value), 1]
        blob = b"".join(len(one).to_bytes(4, "little") + one for one in value)
    described = {"name": name, "datatype": kind, "shape": shape}
    return described | {"parameters": {"binary_data_size": len(blob)}}, blob


def _unpacked(output: Mapping[str, Any], blob: bytes) -> np.ndarray:
    shape = output["shape"]
    if output["datatype"] != "BYTES":
        return np.frombuffer(blob, _TYPES[output["datatype"]]).reshape(shape)
    words = []
    while blob:
        size = int.from_bytes(blob[:4], "little")
        words.append(blob[4 : 4 + size].decode())
        blob = blob[4 + size :]
    return np.array(words).reshape(shape)


def _where(python: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(subprocess.check_output([python, "-c", _WHERE], text=True))
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def main() -> int:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", type=Path)
    parser.add_argument("--python", default=None, help="a Python that has nvidia-pytriton")
    args = parser.parse_args()
    python = args.python or find_python()
    if python is None:
        parser.error("no Python with nvidia-pytriton found: run `make triton`, or name one with --python")
    # Otherwise the end of this program would leave the server running.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), serving(args.repository.resolve(), python) as client:
        print(f"ready at http://{client.address}/v2", flush=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
