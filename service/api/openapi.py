"""`/api/openapi.json`, and the same as a page at `/api/docs` that needs no network."""

from __future__ import annotations

import html
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

_FILE = Path(__file__).with_name("openapi.json")
_STYLE = """:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}code,pre{font-family:ui-monospace,monospace}
pre{overflow:auto;border:1px solid;padding:.6rem}table{border-collapse:collapse}
td,th{border:1px solid;padding:.2rem .6rem;text-align:left;vertical-align:top}
"""


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The OpenAPI description of the API for programs."""
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


async def openapi(request: Request) -> Response:
    """The description, for programs."""
    return JSONResponse(document())


async def docs(request: Request) -> Response:
    """The description, for people."""
    return HTMLResponse(_rendered())


async def style(request: Request) -> Response:
    """The page's style sheet."""
    return Response(_STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


@lru_cache(maxsize=1)
def _rendered() -> str:
    return _page(document())


def _page(described: dict[str, Any]) -> str:
    info = described["info"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{html.escape(info["title"])}</title><link rel="stylesheet" href="/api/docs.css"></head><body><main>',
        f"<h1>{html.escape(info['title'])}</h1><p>{html.escape(info['description'])}</p>",
        '<p>As a file: <a href="/api/openapi.json">openapi.json</a></p>',
    ]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if method == "parameters":
                continue
            parts.append(f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>")
            parts.append(f"<p>{html.escape(operation['summary'])}</p>")
            described_parameters = [
                _resolve(described, one)
                for one in (*methods.get("parameters", []), *operation.get("parameters", []))
            ]
            if described_parameters:
                parts.append("<table><tr><th>parameter</th><th>in</th><th></th><th>about</th></tr>")
                for one in described_parameters:
                    needed = "required" if one.get("required") else ""
                    cells = (f"<code>{html.escape(one['name'])}</code>", one["in"], needed,
                             html.escape(one.get("description", "")))  # fmt: skip
                    parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
                parts.append("</table>")
            parts.append("<table><tr><th>answer</th><th>when</th></tr>")
            for status, response in operation["responses"].items():
                about = html.escape(_resolve(described, response)["description"])
                parts.append(f"<tr><td>{status}</td><td>{about}</td></tr>")
            parts.append("</table>")
            example = operation.get("x-curl")
            if example:
                parts.append(f"<pre>{html.escape(example)}</pre>")
    parts.append("</main></body></html>")
    return "\n".join(parts)


def _resolve(described: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in entry:
        return entry
    found: Any = described
    for step in entry["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


ROUTES: list[BaseRoute] = [
    Route("/api/openapi.json", openapi),
    Route("/api/docs", docs),
    Route("/api/docs.css", style),
]
