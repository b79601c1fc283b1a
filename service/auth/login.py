"""`/login` and `/logout` for people.

The page needs no script and no session; its form is safe against other sites because nothing but name and
password opens it.
"""

from __future__ import annotations

import html

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from service.auth.guard import COOKIE, allow
from service.auth.people import SESSION_S, log_in, log_out
from service.auth.who import Who
from service.problem import Problem
from service.state import service_of

HOME = "/review"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in - waferroute</title><link rel="stylesheet" href="/login.css"></head>
<body><main><h1>waferroute</h1>{message}
<form method="post" action="/login">
<label for="name">Name</label><input id="name" name="name" autocomplete="username" required maxlength="100" autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="1000">
<button>Log in</button></form></main></body></html>
"""
_STYLE = """:root{color-scheme:light dark;font:1.1rem/1.5 system-ui,sans-serif}
main{max-width:22rem;margin:15vh auto;padding:0 1rem}
label{display:block;margin-top:1rem}input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem}
button{margin-top:1.5rem}.problem{border-left:.3rem solid #b00020;padding-left:.6rem}
"""


async def page(request: Request) -> Response:
    """The form."""
    return _page()


async def style(request: Request) -> Response:
    """Its style sheet, for the pages' policy allows none within them."""
    return Response(_STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


async def login(request: Request) -> Response:
    """Begin a session."""
    service = service_of(request)
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "this request comes from another site")
    _small(request)
    service.limits.admit(_visitor(request))
    form = await request.form(max_files=0, max_fields=4)
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    begun = None
    if 0 < len(name) <= 100 and 0 < len(password) <= 1000:
        begun = await run_in_threadpool(log_in, service.database, name, password)
    if begun is None:
        return _page("Name or password is wrong, or the account is locked for some minutes.", 401)
    response = RedirectResponse(HOME, status_code=303)
    response.set_cookie(
        COOKIE, begun[0], max_age=int(SESSION_S), httponly=True, samesite="strict",
        secure=service.settings.secure_cookies,
    )  # fmt: skip
    return response


@allow("see", keys=False, people=True)
async def logout(request: Request) -> Response:
    """End the session."""
    await run_in_threadpool(log_out, service_of(request).database, request.cookies[COOKIE])
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE)
    return response


def _small(request: Request) -> None:
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > 10_000:
        raise Problem(413, "a login is no longer than 10 000 bytes")


def _visitor(request: Request) -> Who:
    """Who is not known yet is limited by address."""
    host = request.client.host if request.client else "unknown"
    return Who(f"address:{host}", host, frozenset())


def _page(problem: str | None = None, status: int = 200) -> Response:
    message = "" if problem is None else f'<p class="problem" role="alert">{html.escape(problem)}</p>'
    return HTMLResponse(_PAGE.format(message=message), status_code=status)


ROUTES: list[BaseRoute] = [
    Route("/login", page, methods=["GET"]),
    Route("/login", login, methods=["POST"]),
    Route("/login.css", style),
    Route("/logout", logout, methods=["POST"]),
]
