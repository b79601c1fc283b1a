"""Pages and what their script asks for. Templates, style and script are the package's own, none from outside."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from typing import Any

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from service.auth.guard import allow
from service.auth.who import Who
from service.problem import Problem
from service.reading import find_inspection, point_of
from service.review import figures
from service.review.defect_types import offered_types
from service.review.further_looks import JOBS as _FURTHER
from service.review.further_looks import plant_image
from service.review.pictures import picture
from service.review.skips import skip
from service.review.tasks import (
    LEASE_S,
    MOST_AHEAD,
    Leased,
    Said,
    give_verdict,
    held_task,
    lease_next,
    queue_state,
    renew,
    undo,
    verdicts_of,
)
from service.review.wafer_picture import wafer_svg
from service.state import service_of

_STATIC = {"app.css": "text/css", "review.js": "text/javascript"}
_MOST_BODY = 2_000_000


def environment(*further: jinja2.BaseLoader) -> jinja2.Environment:
    """Templates in the service's frame, `base.html`; further ones are looked for first."""
    loader = jinja2.ChoiceLoader([*further, jinja2.PackageLoader("service.review")])
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    made.filters["when"] = lambda at: time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
    return made


def render(templates: jinja2.Environment, name: str, request: Request, **values: Any) -> HTMLResponse:
    """One page of some templates, for the person who asks."""
    who: Who = request.state.who
    about = {"who": who, "here": request.url.path, "further_pages": request.app.state.pages}
    return HTMLResponse(templates.get_template(name).render(**about, **values))


_TEMPLATES = environment()


def page(name: str, request: Request, **values: Any) -> HTMLResponse:
    """One page of the service's own."""
    return render(_TEMPLATES, name, request, **values)


async def home(request: Request) -> Response:
    """The way in."""
    return RedirectResponse("/review", status_code=303)


@allow("review", keys=False, people=True)
async def review(request: Request) -> Response:
    """The review station. Everything on it comes by `review.js`."""
    service = service_of(request)
    return page("review.html", request, types=await run_in_threadpool(offered_types, service))


@allow("review", keys=False, people=True)
async def next_tasks(request: Request) -> Response:
    """The next images for this person."""
    service, who = service_of(request), request.state.who
    count = _count(request.query_params.get("count", "1"))
    leased = await run_in_threadpool(lease_next, service.database, who, count)
    state = await run_in_threadpool(queue_state, service.database)
    return JSONResponse({"tasks": [_shown(task) for task in leased], **state, "lease_s": LEASE_S})


@allow("review", keys=False, people=True)
async def one_picture(request: Request) -> Response:
    """A picture of a task that this person holds."""
    service, who = service_of(request), request.state.who
    seq, name = _seq(request), str(request.path_params["name"])

    def find() -> bytes:
        return picture(service, held_task(service.database, who, seq), name)

    data = await run_in_threadpool(find)
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=600"})


@allow("review", keys=False, people=True)
async def wafer_of_task(request: Request) -> Response:
    """The wafer of a task as a map, SVG; a blind task shows no decision of its own image."""
    service, who, seq = service_of(request), request.state.who, _seq(request)

    def find() -> str:
        task = held_task(service.database, who, seq)
        return wafer_svg(service, task.row["wafer_id"], marked=task.row["point"], bare=task.blind)

    return Response(await run_in_threadpool(find), media_type="image/svg+xml")


@allow("review", keys=False, people=True)
async def verdict(request: Request) -> Response:
    """Keep a verdict."""
    service, who, seq = service_of(request), request.state.who, _seq(request)
    body = await _body(request)
    said = _said(body)
    number = await run_in_threadpool(give_verdict, service.database, who, seq, said)

    def told() -> dict[str, Any]:
        task = held_task(service.database, who, seq)
        row = task.row
        return {
            "review": number,
            "decision": row["decision"],
            "score": row["score"],
            "reasons": row["reasons"],
        }

    found = await run_in_threadpool(told)
    # of a planted image nothing more is told than of any other
    return JSONResponse(found)


@allow("review", keys=False, people=True)
async def take_back(request: Request) -> Response:
    """Take the last verdict on a task back."""
    service, who, seq = service_of(request), request.state.who, _seq(request)
    await run_in_threadpool(undo, service.database, who, seq)
    task = await run_in_threadpool(held_task, service.database, who, seq)
    return JSONResponse({"task": _shown(task)})


@allow("review", keys=False, people=True)
async def pass_on(request: Request) -> Response:
    """Give a task back without a verdict."""
    service, who, seq = service_of(request), request.state.who, _seq(request)
    await run_in_threadpool(skip, service.database, who, seq)
    return JSONResponse({"task": seq})


@allow("review", keys=False, people=True)
async def hold(request: Request) -> Response:
    """Hold tasks for longer."""
    service, who = service_of(request), request.state.who
    body = await _body(request)
    tasks = body.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(one, int) and 0 < one < 2**62 for one in tasks):
        raise Problem(422, "tasks is a list of numbers")
    return JSONResponse({"held": await run_in_threadpool(renew, service.database, who, tasks[:MOST_AHEAD])})


@allow("engineer", keys=False, people=True)
async def agreement_page(request: Request) -> Response:
    """How far people agree."""
    found = await run_in_threadpool(figures.agreement, service_of(request).database)
    return page("agreement.html", request, found=found)


@allow("engineer", keys=False, people=True)
async def overturned_page(request: Request) -> Response:
    """Decisions that people called wrong."""
    rows = await run_in_threadpool(figures.overturned, service_of(request).database)
    return page("list.html", request, title="Overturned decisions", rows=rows, terms=None)


@allow("engineer", keys=False, people=True)
async def search_page(request: Request) -> Response:
    """Inspections by wafer, lot, tool and so on."""
    names = ("wafer_id", "lot", "tool", "layer", "recipe", "decision", "verdict", "version", "point")
    terms = {name: request.query_params.get(name, "")[:200] for name in names}
    rows = await run_in_threadpool(figures.search, service_of(request).database, terms)
    return page("list.html", request, title="Search", rows=rows, terms=terms)


@allow("engineer", keys=False, people=True)
async def wafer_page(request: Request) -> Response:
    """A wafer: its map and its sites."""
    service, wafer = service_of(request), str(request.path_params["wafer"])

    def find() -> dict[str, Any]:
        rows = figures.search(service.database, {"wafer_id": wafer}, 5000)
        if not rows:
            raise Problem(404, "this wafer was not inspected")
        last = figures.disposition(service.database, wafer)
        return {"svg": wafer_svg(service, wafer), "rows": rows, "disposition": last}

    return page("wafer.html", request, wafer=wafer, **await run_in_threadpool(find))


@allow("engineer", keys=False, people=True)
async def lot_page(request: Request) -> Response:
    """A lot: its wafers, each with its map."""
    service, lot = service_of(request), str(request.path_params["lot"])

    def find() -> list[dict[str, Any]]:
        rows = figures.search(service.database, {"lot": lot}, 20_000)
        wafers: dict[str, dict[str, int]] = {}
        for row in rows:
            counts = wafers.setdefault(row["wafer_id"], {"PASS": 0, "REVIEW": 0, "REJECT": 0})
            counts[row["decision"]] += 1
        if not wafers:
            raise Problem(404, "no wafer of this lot was inspected")
        return [
            {"wafer": name, **wafers[name], "svg": wafer_svg(service, name)} for name in sorted(wafers)[:50]
        ]

    return page("lot.html", request, lot=lot, wafers=await run_in_threadpool(find))


@allow("engineer", keys=False, people=True)
async def inspection_page(request: Request) -> Response:
    """One inspection with all that was said about it."""
    service, name = service_of(request), str(request.path_params["id"])

    def find() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        kept = find_inspection(service, name)
        with service.database.read() as connection:
            return {**kept.row, "has_map": kept.map is not None}, verdicts_of(connection, name)

    row, said = await run_in_threadpool(find)
    return page("inspection.html", request, row=row, said=said, point=point_of(row["point"]))


@allow("engineer", keys=False, people=True)
async def plant(request: Request) -> Response:
    """Make an image a known one."""
    service, who, name = service_of(request), request.state.who, str(request.path_params["id"])
    form = await request.form(max_files=0, max_fields=8)
    truth, defect = str(form.get("truth", "")), str(form.get("defect", ""))[:100] or None
    await run_in_threadpool(plant_image, service.database, name, truth, defect, who.actor)
    return RedirectResponse(f"/inspections/{name}", status_code=303)


async def static(request: Request) -> Response:
    """A file of the pages' own."""
    name = str(request.path_params["name"])
    if name not in _STATIC:
        raise Problem(404, "there is no such file")
    text = files("service.review").joinpath("static", name).read_bytes()
    return Response(text, media_type=_STATIC[name], headers={"Cache-Control": "no-cache"})


def _shown(task: Leased) -> dict[str, Any]:
    """What the page may know of a task: of a blind one nothing that comes from the model, and never its kind."""
    row = task.row
    place = {
        "task": task.seq, "wafer_id": row["wafer_id"], "inspection_point": point_of(row["point"]), "lot": row["lot"],
        "tool": row["tool"], "layer": row["layer"], "recipe": row["recipe"], "captured_at": row["captured_at"],
        "blind": task.blind,
    }  # fmt: skip
    if task.blind:
        return place
    told = ("decision", "score", "review_above", "reject_above", "reasons", "route", "rule", "defect")
    return {**place, **{name: row[name] for name in told}}


def _seq(request: Request) -> int:
    """The task that an address names. Raises Problem (404) for a number that no database holds."""
    seq = int(request.path_params["seq"])
    if seq >= 2**62:
        raise Problem(404, "there is no such task")
    return seq


def _count(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text[:4]) <= MOST_AHEAD:
        raise Problem(422, f"count is a number from 1 to {MOST_AHEAD}")
    return int(text)


async def _body(request: Request) -> dict[str, Any]:
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > _MOST_BODY:
        raise Problem(413, f"a verdict is no longer than {_MOST_BODY} bytes")
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Problem(400, "the body is not JSON") from error
    if not isinstance(body, dict):
        raise Problem(422, "the body is an object")
    return body


def _said(body: dict[str, Any]) -> Said:
    from service.review.masks import mask_of

    kind, defect, note, seconds = (body.get(name) for name in ("verdict", "defect", "note", "seconds"))
    if not isinstance(kind, str):
        raise Problem(422, "a verdict is good, defect or unsure")
    for name, value, most in (("defect", defect, 100), ("note", note, 2000)):
        if value is not None and (not isinstance(value, str) or len(value) > most or "\0" in value):
            raise Problem(422, f"{name} is a text of at most {most} characters")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 86_400
    took = float(seconds) if number and seconds is not None else None
    return Said(kind, defect or None, took, note or None, mask_of(body))


JOBS = [*_FURTHER]
ROUTES: list[BaseRoute] = [
    Route("/", home),
    Route("/review", review),
    Route("/review/next", next_tasks),
    Route("/review/hold", hold, methods=["POST"]),
    Route("/review/{seq:int}/wafer.svg", wafer_of_task),
    Route("/review/{seq:int}/{name:str}.png", one_picture),
    Route("/review/{seq:int}/skip", pass_on, methods=["POST"]),
    Route("/review/{seq:int}/verdict", verdict, methods=["POST"]),
    Route("/review/{seq:int}/verdict", take_back, methods=["DELETE"]),
    Route("/agreement", agreement_page),
    Route("/overturned", overturned_page),
    Route("/search", search_page),
    Route("/wafers/{wafer:path}", wafer_page),
    Route("/lots/{lot:path}", lot_page),
    Route("/inspections/{id}/plant", plant, methods=["POST"]),
    Route("/inspections/{id}", inspection_page),
    Route("/static/{name}", static),
]
