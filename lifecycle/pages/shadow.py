"""`/shadow`: where a candidate that decides nothing differs from production, counted and image by image."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from lifecycle.conductor.differences import differences
from lifecycle.conductor.shadow import shadow_of
from lifecycle.pages.render import page
from service.auth.guard import allow
from service.models import Version, load_version
from service.problem import Problem
from service.reading import find_inspection, image_of, png_of, square_of
from service.state import Service, service_of
from service.versions.folder import VersionFolder
from tool_side.runtime.heatmap import overlay
from wafer_data.errors import InputError

_DECISIONS = ("PASS", "REVIEW", "REJECT")
_SHOWN = 24
_DAYS = 30


@allow("engineer", keys=False, people=True)
async def shadow_page(request: Request) -> Response:
    """The differences, of the running shadow or, by `?version=`, of an earlier one."""
    service = service_of(request)
    found = await run_in_threadpool(_state, service, request.query_params.get("version"))
    return page("shadow.html", request, **found)


@allow("engineer", keys=False, people=True)
async def shadow_map(request: Request) -> Response:
    """The candidate's heat map over an image, on the candidate's own fixed scale."""
    service, name = service_of(request), str(request.path_params["version"])
    inspection = str(request.path_params["id"])
    data = await run_in_threadpool(_map, service, name, inspection)
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


def _state(service: Service, wanted: str | None) -> dict[str, Any]:
    folder = VersionFolder(service.settings.models)
    running = shadow_of(folder.path)
    since = time.time() - 86400 * _DAYS
    version = wanted or (running[0] if running else None)
    known = [one.name for one in folder.versions()]
    about = {
        "version": version,
        "running": running[0] if running else None,
        "known": known,
        "decisions": _DECISIONS,
    }
    if version is None:
        return {**about, "found": None, "shown": [], "tables": []}
    if version not in known:
        raise Problem(404, "there is no version of this name")
    if running and running[0] == version:
        since = running[1]
    found = differences(service.database, version, since)
    tables = [("layer", found["by_layer"]), ("tool", found["by_tool"])]
    ranked = [
        (name, sorted(rows.items(), key=lambda one: -one[1]["differ"] / one[1]["compared"])[:50])
        for name, rows in tables
    ]
    return {**about, "found": found, "shown": found["images"][:_SHOWN], "tables": ranked}


def _map(service: Service, name: str, inspection_id: str) -> bytes:
    version = _loaded(service, name)
    kept = find_inspection(service, inspection_id)
    image = image_of(service, kept)
    result = version.inspector.inspect(image, recipe=kept.row["recipe"])
    if result.map is None:
        raise Problem(404, "no model of this version saw the image, so there is no heat map")
    square: np.ndarray = square_of(service, image)
    return png_of(overlay(square, result.map, version.inspector.map_reference(result.route)))


def _loaded(service: Service, name: str) -> Version:
    """The version, from the shadow or the warm ones; else it is loaded for this picture."""
    shadow: Version | None = getattr(service.shadow, "version", None)
    if shadow is not None and shadow.name == name:
        return shadow
    warm = service.models.warm().get(name)
    if warm is not None:
        return warm
    folder = VersionFolder(service.settings.models)
    try:
        return load_version(folder.bundle(folder.get(name).name), name)
    except InputError as error:
        raise Problem(404, f"this version cannot be shown: {error}") from error


ROUTES: list[BaseRoute] = [
    Route("/shadow", shadow_page),
    Route("/shadow/{version}/{id}/heatmap.png", shadow_map),
]
PAGES = [("/shadow", "Shadow", "engineer")]
