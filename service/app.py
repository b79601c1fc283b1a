"""The worker put together: what it keeps, what it serves, what it does beside.

To add pages or an API, write a module with `ROUTES` and name it in :data:`ROUTE_MODULES`; to add work that one worker
at a time does, give the module `JOBS` (of `service.background.Job`); to have a page in the head of all pages, give it
`PAGES` (path, name, what one must be allowed); to see every decision, give it
`attach(service)`, which may append to `service.after`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib import import_module
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from service.auth.keys import KeyRing
from service.background import Background, Job
from service.decide.rules import read_rules
from service.headers import SecurityHeaders
from service.inspecting import Inspecting
from service.limits import Limits
from service.models import Models, Version
from service.problem import Problem, handle_bug, handle_database_down, handle_http, handle_problem
from service.settings import Settings, installation_secret
from service.state import Service
from service.store.database import Database, DatabaseDown, sqlite_url
from service.store.image_files import ImageFiles
from service.store.journal import Journal
from tool_side.runtime.defect_bins import load_bins
from wafer_map.decide import load_plan

ROUTE_MODULES = (
    "service.api.health",
    "service.api.inspect",
    "service.api.batch",
    "service.api.complete",
    "service.api.escapes",
    "service.api.inspections",
    "service.api.openapi",
    "service.auth.login",
    "service.retention",
    "service.review.pages",
    "service.monitor.metrics",
    "service.monitor.page",
    "service.fleet.routes",
)


_HANDLERS: dict[Any, Any] = {
    Problem: handle_problem,
    DatabaseDown: handle_database_down,
    HTTPException: handle_http,
    Exception: handle_bug,
}


def open_service(settings: Settings, version: Version) -> Service:
    """Everything that a worker holds. The database need not answer.

    Raises:
        InputError: The journal is held by another process, the data folder cannot be written, the rules, the bins, the
            plan for lots or the database's URL are malformed, or traces are asked for and not installed.
    """
    url = settings.database_url or sqlite_url(settings.data / "waferroute.db")
    rules = None if settings.rules is None else read_rules(settings.rules)
    bins = None if settings.bins is None else load_bins(settings.bins, settings.stages)
    plan = None if settings.lot_plan is None else load_plan(settings.lot_plan)
    traces = None
    if settings.traces is not None:
        from service.monitor.traces import Traces

        traces = Traces(settings.traces, settings.node)
    journal = Journal(settings.journals, settings.node)
    service = Service(
        settings=settings,
        journal=journal,
        database=Database(url),
        images=ImageFiles(settings.images),
        keys=KeyRing(settings.journals / f"{settings.node}.keys.json"),
        models=Models(version),
        limits=Limits(settings.rate, settings.burst),
        secret=installation_secret(settings.data),
        bins=bins,
        lot_plan=plan,
        traces=traces,
    )
    if rules is not None:
        service.rules = rules
    service.inspecting = Inspecting(service)
    return service


def create_app(service: Service) -> Starlette:
    """The ASGI application of one worker. It starts and ends the background work, and closes the service."""
    modules = [import_module(name) for name in (*ROUTE_MODULES, *service.settings.modules)]
    routes = [route for module in modules for route in _routes(module)]
    jobs = [job for module in modules for job in _jobs(module)]
    for module in modules:
        if hasattr(module, "attach"):
            module.attach(service)
    background = Background(service, jobs)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Once before the first request, so that keys are known; a database that is away must not stop the start.
        with contextlib.suppress(DatabaseDown, OSError):
            background.refresh()
        background.start()
        try:
            yield
        finally:
            for close in service.closing:
                close()
            service.inspecting.close()
            background.stop()
            service.journal.close()
            service.database.close()

    app = Starlette(routes=routes, exception_handlers=_HANDLERS, lifespan=lifespan)
    app.add_middleware(SecurityHeaders)
    if service.traces is not None:
        service.traces.attach(service)
        app.add_middleware(service.traces.wrap)
    app.state.service = service
    app.state.background = background
    app.state.pages = tuple(page for module in modules for page in getattr(module, "PAGES", ()))
    return app


def _routes(module: ModuleType) -> list[BaseRoute]:
    routes: list[BaseRoute] = getattr(module, "ROUTES", [])
    return routes


def _jobs(module: ModuleType) -> list[Job]:
    jobs: list[Job] = getattr(module, "JOBS", [])
    return jobs
