"""A small client for tools: standard library only, this one file may be copied.

    from service.client import Client
    with Client("http://127.0.0.1:8080", key) as client:
        answer = client.inspect(open("image.png", "rb").read(), wafer_id="WF-1", inspection_point=42)

A request that breaks off, or that the service could not keep (502, 503, 504, 507), is sent once more on a fresh
connection with the same idempotency key, so that nothing is decided twice. Whoever gets an exception has no
decision: hold the wafer.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import uuid
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

AGAIN = {502, 503, 504, 507}
_LONGEST_WAIT_S = 10.0


class NoDecision(Exception):  # noqa: N818 (the name says what it is)
    """The service gave no decision.

    Attributes:
        status: Of HTTP; None where no answer came.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """One connection to the service, kept open. Not to be shared between threads.

    Args:
        url: Of the service, such as https://inspection.fab:8443.
        key: The tool's key.
        timeout: Seconds to wait for an answer, each time.
        context: For HTTPS with a certificate authority of the site.
    """

    def __init__(
        self, url: str, key: str, *, timeout: float = 10.0, context: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http:// or https:// address")
        self._host, self._port, self._tls = parts.hostname, parts.port, parts.scheme == "https"
        self._base, self._key, self._timeout, self._context = parts.path.rstrip("/"), key, timeout, context
        self._connection: http.client.HTTPConnection | None = None
        # How many requests were sent a second time.
        self.retries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def inspect(
        self, image: bytes, *, wafer_id: str, inspection_point: str | int, idempotency_key: str | None = None,
        **about: str,
    ) -> dict[str, Any]:  # fmt: skip
        """Have one image inspected.

        Args:
            image: The bytes of its file.
            wafer_id: The wafer.
            inspection_point: The place on it.
            idempotency_key: Of this image; default a new one.
            **about: lot, tool, layer, recipe, captured_at.

        Returns:
            The answer, see `docs/service.md`.

        Raises:
            NoDecision: The service refused the request, or gave no answer twice.
        """
        query = urlencode({"wafer_id": wafer_id, "inspection_point": str(inspection_point), **about})
        headers = {
            "Idempotency-Key": idempotency_key or str(uuid.uuid4()),
            "Content-Type": "application/octet-stream",
        }
        answer: dict[str, Any] = json.loads(self._send("POST", f"/api/v1/inspect?{query}", image, headers))
        return answer

    def complete(
        self, wafer_id: str, *, sites: int | None = None, layer: str | None = None
    ) -> dict[str, Any]:
        """Say that a wafer is done; `disposition` of the answer is RUN, HOLD or PENDING.

        Args:
            wafer_id: The wafer.
            sites: How many sites were measured: with fewer decisions the wafer is held.
            layer: Only the sites of this layer.

        Raises:
            NoDecision: No answer: hold the wafer.
        """
        asked = {
            name: str(value) for name, value in (("sites", sites), ("layer", layer)) if value is not None
        }
        query = f"?{urlencode(asked)}" if asked else ""
        said: dict[str, Any] = json.loads(
            self._send("POST", f"/api/v1/wafers/{quote(wafer_id)}/complete{query}")
        )
        return said

    def inspection(self, inspection_id: str) -> dict[str, Any]:
        """One inspection as it is kept, with what people said of it. Raises NoDecision."""
        found: dict[str, Any] = json.loads(self._send("GET", f"/api/v1/inspections/{quote(inspection_id)}"))
        return found

    def heatmap(self, inspection_id: str) -> bytes:
        """Its heat map, PNG. Raises NoDecision."""
        return self._send("GET", f"/api/v1/inspections/{quote(inspection_id)}/heatmap.png")

    def alive(self) -> bool:
        """Whether the service answers at all; never raises."""
        try:
            return self._once("GET", "/healthz", None, {})[0] == 200
        except (OSError, http.client.HTTPException):
            self.close()
            return False

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        sent = {"Authorization": f"Bearer {self._key}", **(headers or {})}
        for last in (False, True):
            wait = 0.0
            try:
                status, content, retry_after = self._once(method, path, body, sent)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if last:
                    raise NoDecision(
                        f"no answer from {self._host}: {error or type(error).__name__}"
                    ) from error
            else:
                if status == 200:
                    return content
                if last or status not in AGAIN:
                    raise NoDecision(f"{status}: {_detail(content)}", status)
                wait = min(retry_after, _LONGEST_WAIT_S)
            self.retries += 1
            time.sleep(wait)
        raise AssertionError("unreachable")

    def _once(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes, float]:
        if self._connection is None:
            if self._tls:
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=self._timeout, context=self._context
                )
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        self._connection.request(method, self._base + path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        try:
            retry_after = float(response.headers.get("Retry-After", "0"))
        except ValueError:
            retry_after = 0.0
        return response.status, content, retry_after


def _detail(content: bytes) -> str:
    try:
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace")
