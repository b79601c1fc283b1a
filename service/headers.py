"""Headers that tell browsers to be careful, on every answer; and limits on those of a request."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problem import Problem, problem_response

_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
     b"form-action 'self'; object-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)  # fmt: skip
_NO_STORE = (b"cache-control", b"no-store")
_TLS = (b"strict-transport-security", b"max-age=31536000")


MOST_HEADERS, MOST_HEADER_BYTES, MOST_QUERY_BYTES = 64, 32_768, 8_192


def _too_much(scope: Scope) -> Problem | None:
    headers = scope["headers"]
    if (
        len(headers) > MOST_HEADERS
        or sum(len(name) + len(value) for name, value in headers) > MOST_HEADER_BYTES
    ):
        return Problem(431, f"at most {MOST_HEADERS} headers of {MOST_HEADER_BYTES} bytes together are taken")
    if len(scope["query_string"]) + len(scope["path"]) > MOST_QUERY_BYTES:
        return Problem(414, f"an address has at most {MOST_QUERY_BYTES} bytes")
    return None


class SecurityHeaders:
    """ASGI middleware. What a handler sets itself is left alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                have = {name.lower() for name, _ in headers}
                headers += [header for header in (*_HEADERS, _NO_STORE) if header[0] not in have]
                if scope.get("scheme") == "https":
                    headers.append(_TLS)
                message["headers"] = headers
            await send(message)

        problem = _too_much(scope)
        if problem is not None:
            await problem_response(problem)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)
