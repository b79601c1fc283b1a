"""The people of the rehearsal: a reviewer at the station's own pages, who knows what every image shows."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from service.review.tasks import MOST_AHEAD
from wafer_data.errors import InputError


class Reviewer:
    """Somebody who is logged in and works through the queue.

    Args:
        url: Of a worker.
        password: Of the user "admin".

    Raises:
        InputError: The login is refused.
    """

    def __init__(self, url: str, password: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._connection: http.client.HTTPConnection | None = None
        self._cookie = self._csrf = ""
        form = urlencode({"name": "admin", "password": password}).encode()
        status, headers, _ = self._ask("POST", "/login", form, "application/x-www-form-urlencoded")
        if status != 303:
            raise InputError(f"the reviewer of the rehearsal could not log in: {status}")
        self._cookie = str(headers["set-cookie"]).split(";")[0]
        found = re.search(r'name="csrf" content="([^"]+)"', self._ask("GET", "/review")[2].decode())
        if found is None:
            raise InputError("the review station shows no form")
        self._csrf = found[1]

    def work(self, truth: Callable[[str, str], str]) -> list[dict[str, Any]]:
        """Give a verdict on everything that waits.

        Args:
            truth: (wafer, point) -> "good" or the defect's type.

        Returns:
            The tasks, each with `truth`; images that came more than once, as for a blind second look, more than once.
        """
        done: list[dict[str, Any]] = []
        while True:
            status, _, body = self._ask("GET", f"/review/next?count={MOST_AHEAD}")
            if status != 200:
                raise InputError(f"the review station gives no task: {status} {_start(body)}")
            tasks = json.loads(body)["tasks"]
            if not tasks:
                return done
            for task in tasks:
                shown = truth(task["wafer_id"], str(task["inspection_point"]))
                said = {"verdict": "good"} if shown == "good" else {"verdict": "defect", "defect": shown}
                status, _, body = self._ask(
                    "POST", f"/review/{task['task']}/verdict", json.dumps(said).encode()
                )
                if status != 200:
                    raise InputError(f"a verdict was refused: {status} {_start(body)}")
                done.append({**task, "truth": shown})

    def close(self) -> None:
        """Go home."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        headers = {
            "Cookie": self._cookie,
            "X-CSRF-Token": self._csrf,
            "Content-Type": kind,
            "Accept": "text/html",
        }
        for last in (False, True):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
            try:
                self._connection.request(method, path, body, headers)
                answer = self._connection.getresponse()
                return answer.status, answer.headers, answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if last:
                    raise InputError(f"the review station does not answer: {error}") from error
        raise AssertionError("unreachable")


def _start(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
