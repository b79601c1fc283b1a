"""One page of this package, in the service's frame."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from service.review.pages import environment, render


@cache
def _templates() -> jinja2.Environment:
    return environment(jinja2.PackageLoader("lifecycle.pages"))


def page(name: str, request: Request, **values: Any) -> HTMLResponse:
    """One page for the person who asks."""
    return render(_templates(), name, request, **values)
