"""`waferroute serve`: one worker, in this process, on one port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from service.app import create_app, open_service
from service.first_start import first_start
from service.memory import share_arenas
from service.notify import signs_of_life, tell_supervisor
from service.settings import Settings
from service.state import Service
from service.versions.folder import VersionFolder
from service.versions.follow import Follower, first_version
from wafer_data.errors import InputError
from wafer_data.files import write_error

_LOG = logging.getLogger(__name__)
# A tool that sends in bursts must not find its connection closed in between.
KEEP_ALIVE_S = 120
_GRACEFUL_S = 20


@dataclass(frozen=True)
class Listen:
    """Where a worker listens.

    Attributes:
        drain_s: How long it says that it is not ready before it stops.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    tls_cert: Path | None = None
    tls_key: Path | None = None
    drain_s: float = 0.0
    proxy: str | None = None


def run_worker(
    bundle: Path,
    settings: Settings,
    listen: Listen,
    *,
    version_name: str | None = None,
    threads: int = 1,
    public_key: Path | None = None,
) -> int:
    """Serve until SIGTERM or Ctrl-C. Returns the exit status.

    Raises:
        InputError: The bundle is refused, a file or folder cannot be used, or the port is taken.
    """
    started = time.monotonic()
    share_arenas()
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise write_error(settings.data, error) from error
    folder = VersionFolder(settings.models, public_key)
    take_in(folder, bundle, version_name)
    version, _ = first_version(folder, threads=threads)
    service = open_service(settings, version)
    first_start(service)
    follower = Follower(folder, service.models, settings.node, threads=threads)
    config = uvicorn.Config(
        create_app(service),
        host=listen.host,
        port=listen.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACEFUL_S,
        proxy_headers=listen.proxy is not None,
        forwarded_allow_ips=listen.proxy,
        ssl_certfile=listen.tls_cert,
        ssl_keyfile=listen.tls_key,
        lifespan="on",
    )
    _load(config)
    # A thread that comes back from the disk waits for the interpreter at most this long; the default is ten times more.
    sys.setswitchinterval(0.0005)
    server = _Server(config, service, listen, started)
    follower.start()
    try:
        server.run()
    except SystemExit:
        raise InputError(
            f"the service could not start at {listen.host}:{listen.port}; is the port taken? See the line above"
        ) from None
    finally:
        follower.stop()
    return 0


def take_in(folder: VersionFolder, bundle: Path, name: str | None) -> None:
    """Make the bundle a version of the folder; the first one is in use at once.

    Raises:
        InputError: The bundle is refused, or the name is taken by another.
    """
    version = folder.push(bundle, name=name)
    pointer = folder.pointer()
    if pointer is None:
        folder.promote(version.name, by="first start", reason="nothing was in use")
    elif pointer.champion != version.name:
        _LOG.info(
            "%s is in use here, and goes on; %s is %s: `waferroute model promote %s --data %s` lets it decide",
            pointer.champion, bundle, version.name, version.name, folder.path.parent,
        )  # fmt: skip


def _load(config: uvicorn.Config) -> None:
    """Take up the configuration, and with it the certificate.

    Raises:
        InputError: The certificate and its key cannot be used.
    """
    try:
        config.load()
    except OSError as error:  # what ssl raises is one, too
        if config.ssl_certfile is None:
            raise
        raise InputError(
            f"the certificate {config.ssl_certfile} and its key {config.ssl_keyfile} cannot be used ("
            f"{error.strerror or error}): give PEM files that belong together"
        ) from error


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready and drains before it stops."""

    def __init__(self, config: uvicorn.Config, service: Service, listen: Listen, started: float) -> None:
        super().__init__(config)
        self._service, self._listen, self._started_at = service, listen, started
        self._alive: asyncio.Task[None] | None = None

    async def startup(self, sockets: list | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            scheme = "https" if self._listen.tls_cert else "http"
            took = time.monotonic() - self._started_at
            _LOG.info(
                "serving %s at %s://%s:%d (ready in %.1f s); Ctrl-C ends it",
                self._service.models.current().name, scheme, self._listen.host, self._listen.port, took,
            )  # fmt: skip
            tell_supervisor(f"READY=1\nSTATUS=serving {self._service.models.current().name}")
            self._alive = asyncio.get_running_loop().create_task(signs_of_life())

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first signal drains, a second one ends at once."""
        with super().capture_signals():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._drain)
            yield
            self._captured_signals.clear()  # a stop that was asked for is no death by a signal

    def _drain(self, number: int, frame: FrameType | None) -> None:
        tell_supervisor("STOPPING=1")
        if self._service.draining or self._listen.drain_s <= 0:
            self.handle_exit(number, frame)
            return
        self._service.draining = True
        threading.Timer(self._listen.drain_s, self.handle_exit, (number, frame)).start()
