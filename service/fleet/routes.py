"""What tools ask and say: the version meant for them, its files, and how it runs there.

GET  /api/v1/fleet/TOOL?layer=L          the version and its bundle, or null
GET  /api/v1/fleet/TOOL/files/VERSION/NAME   one file of its bundle
POST /api/v1/fleet/TOOL                  {"version", "tried", "healthy", "problem", "layer"}
"""

from __future__ import annotations

import json
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from service.auth.guard import allow
from service.fleet.plan import FleetPlan, ToolState
from service.problem import Problem
from service.reading import checked_name
from service.state import Service, service_of
from service.versions.folder import VersionFolder
from tool_side.bundle.sections import MANIFEST
from tool_side.bundle.signature import SIGNATURE
from wafer_data.errors import InputError
from wafer_data.files import read_json

_MOST_BODY = 16 << 10
_MOST_WORDS = 1000


def plan_of(service: Service) -> FleetPlan:
    """The rollouts of this installation."""
    return FleetPlan(service.settings.models / "fleet")


@allow("inspect")
async def meant(request: Request) -> Response:
    """The version that a tool is to run."""
    tool, service = _tool(request), service_of(request)
    layer = checked_name(request.query_params.get("layer", ""))
    return JSONResponse(await run_in_threadpool(_meant, service, tool, layer))


@allow("inspect")
async def file(request: Request) -> Response:
    """One file of a version's bundle."""
    _tool(request)
    service = service_of(request)
    version, name = checked_name(request.path_params["version"]), checked_name(request.path_params["name"])
    data = await run_in_threadpool(_file, service, version, name)
    return Response(data, media_type="application/octet-stream")


@allow("inspect")
async def report(request: Request) -> Response:
    """What a tool says of the version that it was to take."""
    tool, service = _tool(request), service_of(request)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY:
            raise Problem(413, f"a report has at most {_MOST_BODY} bytes")
    state = _state(tool, body)
    await run_in_threadpool(_report, service, state)
    return Response(status_code=204)


def _tool(request: Request) -> str:
    tool = checked_name(request.path_params["tool"])
    allowed = request.state.who.tools
    if allowed is not None and tool not in allowed:
        raise Problem(403, f"this key may not speak for the tool {tool}")
    return tool


def _meant(service: Service, tool: str, layer: str) -> dict[str, Any]:
    try:
        rollout = plan_of(service).meant_for(tool, layer)
        if rollout is None:
            return {"tool": tool, "version": None, "bundle": None, "rollout": None}
        version = VersionFolder(service.settings.models).get(rollout.version)
    except InputError as error:
        raise Problem(503, str(error), retry_after=60) from error
    return {"tool": tool, "version": version.name, "bundle": version.bundle, "rollout": rollout.id}


def _file(service: Service, version: str, name: str) -> bytes:
    folder = VersionFolder(service.settings.models)
    try:
        bundle = folder.bundle(folder.get(version).name)
        listed = {MANIFEST, SIGNATURE, *read_json(bundle / MANIFEST)["files"]}
        if name not in listed:
            raise Problem(404, f"{version} has no file {name}")
        return (bundle / name).read_bytes()
    except FileNotFoundError as error:
        raise Problem(404, f"{version} has no file {name}") from error
    except (InputError, OSError) as error:
        raise Problem(404, str(error)) from error


def _report(service: Service, state: ToolState) -> None:
    try:
        plan_of(service).report(state)
    except InputError as error:
        raise Problem(503, str(error), retry_after=60) from error


def _state(tool: str, body: bytes) -> ToolState:
    try:
        found = json.loads(body)
        version, tried, healthy = found["version"], found["tried"], found["healthy"]
        problem, layer = found.get("problem", ""), found.get("layer", "")
        texts = [value for value in (version, tried, problem, layer) if value is not None]
        if not isinstance(healthy, bool) or not all(isinstance(t, str) for t in texts):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Problem(
            422,
            'send {"version": text or null, "tried": text or null, "healthy": true or false, "problem": text}',
        ) from error
    return ToolState(tool, checked_name(layer), version, tried, healthy, problem[:_MOST_WORDS], time.time())


ROUTES: list[BaseRoute] = [
    Route("/api/v1/fleet/{tool}", meant, methods=["GET"]),
    Route("/api/v1/fleet/{tool}", report, methods=["POST"]),
    Route("/api/v1/fleet/{tool}/files/{version}/{name:path}", file, methods=["GET"]),
]
