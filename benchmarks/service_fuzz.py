"""Send the service requests that no sane client sends; it must answer all of them, and none with 5xx.

    .venv/bin/python benchmarks/service_fuzz.py runs/synthetic/bundle --requests 50000

Requests go through real HTTP to every endpoint, with keys that are right, wrong and missing, with names from path
traversal to emoji, and bodies from real images over damaged ones to noise. Where the OpenAPI description knows the
operation, the answer's status must be one that it names. Memory is compared between the first and the last tenth.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from service_images import add_images, read_images
from service_worker import Worker

from service.manage import Manager

PASSWORD = "a password for one benchmark"
PATHS = (
    "/api/v1/inspect", "/api/v1/lots", "/api/v1/inspections/{}", "/api/v1/inspections/{}/heatmap.png",
    "/api/v1/inspections/{}/image", "/heatmaps/{}", "/api/v1/wafers/{}", "/api/v1/wafers/{}/complete",
    "/api/v1/wafers/{}/map.svg", "/api/v1/escapes", "/api/v1/lots/{}", "/api/v1/fleet/{}",
    "/api/v1/fleet/{}/files/{}/{}", "/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/docs",
    "/api/docs.css", "/login", "/login.css", "/logout", "/static/{}", "/{}",
)  # fmt: skip
# Pages and what their script asks for: for people with a session.
PEOPLE = (
    "/", "/review", "/review/next", "/review/hold", "/review/{}/verdict", "/review/{}/skip", "/review/{}/wafer.svg",
    "/review/{}/{}.png", "/agreement", "/overturned", "/search", "/wafers/{}", "/lots/{}", "/inspections/{}",
    "/inspections/{}/plant", "/monitor",
)  # fmt: skip
SENT_TO = (
    "/api/v1/inspect", "/api/v1/lots", "/api/v1/wafers/{}/complete", "/api/v1/escapes", "/login", "/logout",
    "/review/hold", "/review/{}/verdict", "/review/{}/skip", "/inspections/{}/plant",
)  # fmt: skip
JSON_KEYS = (
    "wafer_id", "inspection_point", "inspection_id", "found_at", "defect", "note", "verdict", "seconds", "boxes",
    "tasks", "strokes", "truth",
)  # fmt: skip
QUERY_KEYS = ("wafer_id", "lot", "tool", "decision", "verdict", "version", "point", "count", "sites", "layer")
NAMES = (
    "WF-1", "42", "../../etc/passwd", "..%2f..", "<script>alert(1)</script>", "'; DROP TABLE audit; --", "a" * 300, "",
    " ", "0", "-1", "\u00e9\u4e2d\U0001f600", "a\x00b", "a\nb", "%", "null", "1e309", "9" * 40, "\u0660\u0661", "x.png",
)  # fmt: skip
TIMES = ("2026-01-31T12:00:00Z", "2026-01-31", "yesterday", "1e18", "-1", "nan", "0")
FIELDS = ("wafer_id", "inspection_point", "lot", "tool", "layer", "recipe")
HEADERS = (
    "X-Wafer-Id",
    "X-Inspection-Point",
    "X-Lot",
    "X-Tool",
    "Idempotency-Key",
    "X-Captured-At",
    "X-CSRF-Token",
)
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 7, 2**63, 1e308, 0.5, "", "good", "defect", "unsure", "a\x00b", "\ud800", "x" * 3000, [], [1],
    [[0.1, 0.2, 0.3, 0.4]], [[1e308, -1, 2, 3]], [["a"]], {}, {"a": [{}]}, "WF-1", "W1", "1",
)  # fmt: skip
TYPES = ("image/png", "application/json", "multipart/form-data", "multipart/form-data; boundary=b",
         "application/x-www-form-urlencoded", "text/html", "")  # fmt: skip


class Sent(NamedTuple):
    """One request."""

    method: str
    target: str
    template: str
    headers: dict[str, str]
    body: bytes


def request_of(
    chance: random.Random,
    key: str,
    images: Sequence[bytes],
    ids: Sequence[str],
    session: tuple[str, str] | None = None,
) -> Sent:
    """A request; the same for the same state of `chance`.

    Args:
        chance: Draws it.
        key: Of a program.
        images: Files to send, whole and damaged.
        ids: Of inspections that there are.
        session: Cookie and token of a person who is logged in.
    """
    template = chance.choice((*PATHS, *PEOPLE, "/api/v1/inspect", "/api/v1/inspect", "/api/v1/lots"))
    words = (
        *NAMES,
        *ids[-5:],
        *(str(chance.randrange(1, 30)) for _ in range(20 * template.startswith("/review/"))),
    )
    path = template
    while "{}" in path:
        word = (
            chance.choice(words) if chance.random() < 0.9 else chance.choice(("image", "heatmap", "normal"))
        )
        path = path.replace("{}", quote(word, safe=chance.choice(("", "/"))).replace("{", "") or "x", 1)
    sends = template in SENT_TO
    often, rarely = ("POST", ("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW")) if sends else (
        "GET", ("POST", "PUT", "DELETE", "HEAD")
    )  # fmt: skip
    method = chance.choice((often,) * 9 + rarely)
    query: list[tuple[str, str]] = []
    if sends:
        if chance.random() < 0.8:
            query += [
                ("wafer_id", f"W{chance.randrange(50)}"),
                ("inspection_point", str(chance.randrange(10**6))),
            ]
        query += [
            (chance.choice(FIELDS), chance.choice(NAMES))
            for _ in range(chance.randrange(3))
            if chance.random() < 0.4
        ]
        if chance.random() < 0.2:
            query.append(("captured_at", chance.choice(TIMES)))
        if chance.random() < 0.05:
            query.append((chance.choice(NAMES) or "x", "1"))
    elif chance.random() < 0.3:
        query += [(chance.choice(QUERY_KEYS), chance.choice(NAMES)) for _ in range(chance.randrange(1, 4))]
    headers = {"Content-Type": chance.choice(TYPES)}
    right = chance.random()
    if right < 0.85:
        headers["Authorization"] = f"Bearer {key}"
    elif right < 0.95:
        headers["Authorization"] = chance.choice(
            ("Bearer x", "Basic eDp5", f"Bearer {key[:-1]}", "Bearer", key)
        )
    if chance.random() < 0.2:
        headers["Cookie"] = f"waferroute_session={chance.choice(('', 'x' * 43, '../..'))}"
    if session is not None and template in (*PEOPLE, "/api/v1/escapes", "/logout") and chance.random() < 0.9:
        headers.pop("Authorization", None)
        headers["Cookie"] = f"waferroute_session={session[0]}"
        if chance.random() < 0.9:
            headers["X-CSRF-Token"] = session[1]
        if template == "/logout":
            headers.pop("X-CSRF-Token", None)  # the person goes on
    for name in chance.sample(HEADERS, chance.randrange(3)) if chance.random() < 0.3 else ():
        value = chance.choice(NAMES).encode("ascii", "ignore").decode()
        headers[name] = "".join(letter for letter in value if letter.isprintable()).strip() or "1"
    if chance.random() < 0.02:
        headers["Content-Encoding"] = chance.choice(("gzip", "identity", "br"))
    return Sent(
        method,
        path + ("?" + urlencode(query) if query else ""),
        template,
        headers,
        _json(chance) if _takes_json(template) and chance.random() < 0.8 else _body(chance, images, headers),
    )


def _takes_json(template: str) -> bool:
    return template == "/api/v1/escapes" or template.startswith("/review/")


def _json(chance: random.Random) -> bytes:
    if chance.random() < 0.05:
        return json.dumps(chance.choice(VALUES)).encode()
    keys = chance.sample(JSON_KEYS, chance.randrange(1, 5))
    text = json.dumps({key: chance.choice(VALUES) for key in keys})
    return text[: len(text) // 2].encode() if chance.random() < 0.03 else text.encode()


def _body(chance: random.Random, images: Sequence[bytes], headers: dict[str, str]) -> bytes:
    kind, image = chance.random(), chance.choice(images)
    if kind < 0.15:
        return b""
    if kind < 0.3:
        data = chance.randbytes(chance.choice((1, 10, 1000)))
    elif kind < 0.5:  # a damaged image
        broken = bytearray(image)
        for _ in range(chance.choice((1, 5, 50))):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        data = bytes(broken[: chance.choice((len(broken), len(broken) // 2, 40))])
    else:
        data = image
    if "boundary" in headers["Content-Type"] and chance.random() < 0.8:
        parts = []
        for _ in range(chance.randrange(4)):
            name = chance.choice(("1", "2", *NAMES)).replace("\n", " ").replace("\x00", " ")
            shown = '; filename="a.png"' if chance.random() < 0.9 else ""
            head = f'--b\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'
            parts.append(head.encode() + data + b"\r\n")
        return b"".join(parts) + (b"--b--\r\n" if chance.random() < 0.9 else b"")
    return data


def documented(openapi: dict[str, Any], sent: Sent) -> set[int] | None:
    """Statuses that the description names for a request; None where it does not know the operation."""
    for path, methods in openapi["paths"].items():
        if path.partition("{")[0] == sent.template.partition("{")[0] and path.count(
            "/"
        ) == sent.template.count("/"):
            shape = path.rpartition("}")[2] == sent.template.rpartition("}")[2]
            if shape and sent.method.lower() in methods:
                return {int(status) for status in methods[sent.method.lower()]["responses"]}
    return None


def fuzz(worker: Worker, images: Sequence[bytes], *, requests: int, seed: int) -> dict[str, Any]:
    """Send them. Returns counts; `failures` and `undocumented` must be empty."""
    chance = random.Random(seed)
    manager = Manager(worker.data)
    key = manager.add_key("fuzzer", ["inspect", "read", "escape", "engineer"], None, None)["key"]
    manager.add_user("fuzzer", "engineer", PASSWORD)
    session = _log_in(worker)
    statuses: Counter[int] = Counter()
    failures: list[str] = []
    undocumented: Counter[str] = Counter()
    ids: list[str] = []
    memory = []
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)
    connection.request("GET", "/api/openapi.json")
    openapi = json.loads(connection.getresponse().read())
    for number in range(requests):
        sent = request_of(chance, key, images, ids, session)
        try:
            connection.request(sent.method, sent.target, sent.body or None, sent.headers)
            answer = connection.getresponse()
            content = answer.read()
        except (http.client.HTTPException, OSError) as error:
            # The server may close a connection whose request it could not parse; it must still live.
            connection.close()
            if not isinstance(
                error, http.client.RemoteDisconnected | ConnectionError | http.client.CannotSendRequest
            ):
                failures.append(f"{sent.method} {sent.target}: {error!r}")
            statuses[-1] += 1
            continue
        statuses[answer.status] += 1
        if answer.status >= 500:
            failures.append(f"{answer.status} {sent.method} {sent.target}: {content[:200]!r}")
        known = documented(openapi, sent)
        if known is not None and answer.status not in known:
            undocumented[f"{answer.status} {sent.method} {sent.template}"] += 1
        if answer.status == 200 and sent.template == "/api/v1/inspect" and sent.method == "POST":
            ids.append(json.loads(content)["id"])
        if number % max(1, requests // 100) == 0:
            memory.append(worker.memory_mb())
    tenth = max(1, len(memory) // 10)
    return {
        "requests": requests,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "failures": failures[:10],
        "failures_count": len(failures),
        "undocumented": dict(undocumented),
        "memory_mb": [round(max(memory[1 : tenth + 1], default=0), 1), round(max(memory[-tenth:]), 1)],
        "log": [line for line in worker.log().splitlines() if "Traceback" in line or "Error" in line][:5],
    }


def _log_in(worker: Worker) -> tuple[str, str]:
    """Cookie and token of an engineer's session."""
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/login", urlencode({"name": "fuzzer", "password": PASSWORD}), form)
    answer = connection.getresponse()
    answer.read()
    cookie = str(answer.headers["set-cookie"]).partition(";")[0].partition("=")[2]
    connection.request(
        "GET", "/review", headers={"Cookie": f"waferroute_session={cookie}", "Accept": "text/html"}
    )
    page = connection.getresponse().read().decode()
    connection.close()
    return cookie, page.split('name="csrf" content="')[1].split('"')[0]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    add_images(parser)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(args.bundle, Path(folder) / "data")
        worker.start()
        found = fuzz(worker, read_images(args.images_in, 50), requests=args.requests, seed=args.seed)
        worker.stop()
    print(json.dumps(found, indent=2))
    raise SystemExit(bool(found["failures"] or found["undocumented"] or found["log"]))


if __name__ == "__main__":
    main()
