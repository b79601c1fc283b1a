"""What a worker holds while it runs. Handlers reach it by `service_of(request)`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from service.decide.rules import SiteRules
from service.settings import Settings
from service.store.database import Database
from service.store.image_files import Images
from service.store.journal import Journal
from tool_side.runtime.defect_bins import DefectBins
from wafer_map.decide import LotPlan

if TYPE_CHECKING:
    from service.auth.keys import KeyRing
    from service.inspecting import Inspected, Inspecting
    from service.limits import Limits
    from service.models import Models


@dataclass
class Service:
    """One worker.

    Attributes:
        settings: As it was started.
        journal, database, images: What it keeps (see `service.store`).
        keys: Copy of the programs' keys.
        models: Loaded versions.
        limits: Of each client.
        secret: Of the installation.
        inspecting: The way of an image.
        rules: The site's, as last read. bins: Of defects, as read at the start; None: there are none.
        lot_plan: By which wafers and lots are held, if the site has one.
        after: Called with each kept decision, in the event loop, after the answer's entry is on the disk: metrics and
            the like hang here. They must be quick, and what they raise is reported and forgotten.
        draining: Whether the worker is about to stop: not ready, still answering.
        notes: What background work says about itself, for pages and metrics, e.g. "database": "down: ...".
        upheld: What people said of decisions like this one, by the model's decision (see `decide.upheld`).
        probe: When the graphs were last tried (time.monotonic()), and what was wrong with them.
        started: time.monotonic() of the start.
        metrics: Of this worker (`service.monitor.metrics.Metrics`), once they are attached.
        shadow: Of this worker, where a module of further work brought one.
        behind: Tells how many decisions of this worker are kept in its journal and not in the database yet.
        traces: Of this worker (`service.monitor.traces.Traces`), where the site asks for them.
        closing: Called when the worker stops, before what it keeps is closed.
    """

    settings: Settings
    journal: Journal
    database: Database
    images: Images
    keys: KeyRing
    models: Models
    limits: Limits
    secret: bytes
    rules: SiteRules = field(default_factory=SiteRules)
    bins: DefectBins | None = None
    lot_plan: LotPlan | None = None
    inspecting: Inspecting = field(init=False)
    after: list[Callable[[Inspected], None]] = field(default_factory=list)
    draining: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    upheld: dict[str, dict[str, Any]] = field(default_factory=dict)
    probe: tuple[float, str | None] = (-1e9, None)
    started: float = field(default_factory=time.monotonic)
    metrics: Any = None
    shadow: Any = None
    traces: Any = None
    behind: Callable[[], int] = lambda: 0
    closing: list[Callable[[], None]] = field(default_factory=list)


def service_of(request: Request) -> Service:
    """The worker that a request came to."""
    service: Service = request.app.state.service
    return service
