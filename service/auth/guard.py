"""What stands before every handler that is not for everybody.

    @allow("inspect")                   # a key with that scope
    @allow("see", people=True)          # a key, or a person whose role allows it
    @allow("review", people=True, keys=False)

The handler finds who it is in `request.state.who`. A person's request that changes something must carry the
session's token against forgery: in the header `X-CSRF-Token`, or in the form field `csrf`.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.auth.people import who_of_session
from service.auth.who import Who
from service.problem import Problem
from service.state import Service, service_of

COOKIE = "waferroute_session"
_SAFE = {"GET", "HEAD", "OPTIONS"}

Handler = Callable[[Request], Awaitable[Response]]


def allow(what: str, *, keys: bool = True, people: bool = False) -> Callable[[Handler], Handler]:
    """Let only those in who may do `what` (see `who.ROLES` and `who.SCOPES`).

    Args:
        what: The permission.
        keys: Whether programs with a key come in.
        people: Whether people with a session come in. A page that nobody is logged in for leads to the login.
    """

    def guarded(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guard(request: Request) -> Response:
            service = service_of(request)
            who = _key(request, service) if keys else None
            if who is None and people:
                who = await _person(request, service)
            if who is None:
                if people and request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                    return RedirectResponse("/login", status_code=303)
                raise Problem(
                    401, "send a valid key as `Authorization: Bearer KEY`" if keys else "log in first"
                )
            if what not in who.may:
                raise Problem(
                    403, f"this {'key' if who.user_id is None else 'role'} may not do that ({what})"
                )
            service.limits.admit(who)
            request.state.who = who
            return await handler(request)

        return guard

    return guarded


def _key(request: Request, service: Service) -> Who | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        return None
    who = service.keys.who(token.strip()) if scheme.lower() == "bearer" else None
    if who is None:
        raise Problem(401, "the key is unknown, expired or revoked")
    return who


async def _person(request: Request, service: Service) -> Who | None:
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    who = await run_in_threadpool(who_of_session, service.database, token)
    if who is not None and request.method not in _SAFE:
        await check_csrf(request, who)
    return who


async def check_csrf(request: Request, who: Who) -> None:
    """Raises Problem (403) unless the request carries the session's token and comes from our own pages."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "this request comes from another site")
    sent = request.headers.get("x-csrf-token")
    if sent is None and "form" in request.headers.get("content-type", ""):
        sent = str((await request.form()).get("csrf", ""))
    if sent is None or who.csrf is None or not hmac.compare_digest(sent.encode(), who.csrf.encode()):
        raise Problem(403, "the form's token is missing or old: load the page again")
