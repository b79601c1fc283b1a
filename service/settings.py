"""How a worker is to run: what `waferroute serve` was told."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from wafer_data.errors import ConfigurationError, InputError, NotFoundError
from wafer_data.files import write_bytes

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True)
class Settings:
    """Settings of one worker.

    Attributes:
        data: Folder of everything that the service keeps.
        node: Name of this worker, unique among all that share a database; names its journal.
        database_url: Default: an SQLite file in `data`.
        rules: File of the site's rules, or None.
        bins: File of the bins of defects (`wafer_map.bins`), or None. stages: Files of stage maps, each FILE or
            RECIPE=FILE (`tool_side.runtime.defect_bins`). Both are read at the start.
        lot_plan: File of the plan by which wafers and lots are held (see `wafer_map.decide.plan`), or None.
        most_body: Largest image, bytes.
        most_lot_bytes, most_lot_images: Largest batch.
        inline_bytes: Images up to this size are inspected in the event loop, larger ones in a thread beside it.
        most_waiting: Decisions that may wait for the disk; beyond, requests are told to come again.
        rate: Requests a second that one key or person may send, on average; burst: at once.
        body_s: Seconds within which a request's body must be here.
        disk_reserve: Bytes that must stay free on the data folder's disk; below, images are refused.
        image_budget: Bytes that the images may take; the oldest PASS images go first. None: no limit.
        public_key: Key that versions must be signed with, or None.
        secure_cookies: Whether the session's cookie is only for TLS.
        metrics_public: Whether `/metrics` needs no key.
        traces: Where OpenTelemetry spans are sent (OTLP over HTTP), or None.
        ship_every_s: Pause between two looks at the journal for what the database does not have yet.
        modules: Names of further modules with ROUTES, JOBS or `attach`, beside `service.app.ROUTE_MODULES`.

    Raises:
        ConfigurationError: `node` cannot be part of a file's name.
    """

    data: Path
    node: str = "worker"
    database_url: str | None = None
    rules: Path | None = None
    bins: Path | None = None
    stages: tuple[str, ...] = ()
    lot_plan: Path | None = None
    most_body: int = 32 << 20
    most_lot_bytes: int = 256 << 20
    most_lot_images: int = 1000
    inline_bytes: int = 1 << 20
    most_waiting: int = 512
    rate: float = 2000.0
    burst: float = 4000.0
    body_s: float = 30.0
    disk_reserve: int = 64 << 20
    image_budget: int | None = None
    public_key: Path | None = None
    secure_cookies: bool = False
    metrics_public: bool = True
    traces: str | None = None
    ship_every_s: float = 0.5
    modules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # it is part of file names, of the journal and of what the worker says of itself
        if not _NODE.fullmatch(self.node):
            raise ConfigurationError(
                f"a worker cannot be called {self.node!r:.120}: write up to 100 letters, digits and . _ - +, the "
                "first a letter or a digit"
            )

    @property
    def journals(self) -> Path:
        """Folder of the journals of this machine's workers."""
        return self.data / "journals"

    @property
    def models(self) -> Path:
        """Folder of the versions (`service.versions.folder`)."""
        return self.data / "models"

    @property
    def images(self) -> Path:
        """Folder of the image files."""
        return self.data / "images"


def require_data(data: Path) -> None:
    """Make sure that the data folder of a service is there.

    Raises:
        NotFoundError: It is not, or is no folder.
    """
    if not data.is_dir():
        raise NotFoundError(f"{data}: no such folder; `waferroute serve BUNDLE --data {data}` makes it")


def installation_secret(data: Path) -> bytes:
    """The installation's 32 random bytes, made on the first start; all workers of a site need the same.

    Raises:
        InputError: The file cannot be read or written.
    """
    path = data / "secret"
    try:
        if not path.exists():
            fresh = path.with_name(f".secret.{os.getpid()}")
            write_bytes(fresh, secrets.token_bytes(32))
            fresh.chmod(0o600)
            with contextlib.suppress(FileExistsError):  # another worker was first: its secret counts
                path.hardlink_to(fresh)
            fresh.unlink()
        found = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read or made ({error.strerror})") from error
    if len(found) != 32:
        raise InputError(f"{path} is damaged: restore it from a backup")
    return found
