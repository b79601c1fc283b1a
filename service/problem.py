"""Errors as the API tells them: RFC 9457 (`application/problem+json`), with what was wrong and what to do."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 (RFC 9457 calls it so)
    """An answer that is no result.

    Attributes:
        retry_after: Seconds after which it is worth trying again.
    """

    def __init__(self, status: int, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after


def problem_response(problem: Problem) -> Response:
    """The answer that tells of a problem."""
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="waferroute"'
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    return JSONResponse(body, status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


async def handle_database_down(request: Request, error: Exception) -> Response:
    """Starlette's handler of `DatabaseDown`: what needs the database must wait; images do not."""
    return problem_response(Problem(503, str(error), retry_after=5))


async def handle_http(request: Request, error: Exception) -> Response:
    """Starlette's handler of its own errors (no such page, wrong method ...)."""
    assert isinstance(error, HTTPException)
    response = problem_response(Problem(error.status_code, error.detail))
    response.headers.update(error.headers or {})
    return response


async def handle_bug(request: Request, error: Exception) -> Response:
    """Starlette's handler of what nobody foresaw: logged with its traceback, told without."""
    return problem_response(Problem(500, "the service failed; its log says how. The image was not decided"))


async def handle_problem(request: Request, error: Exception) -> Response:
    """Starlette's handler of :class:`Problem`."""
    assert isinstance(error, Problem)
    return problem_response(error)
