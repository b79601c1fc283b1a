"""Fills a page's template: one self-contained file, no script, no external reference, prints, works in the dark."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from eval.pages import images, theme, wording

KIT = "eval.pages"
ANALYSIS = (KIT, "analysis.css")
"""The style sheet that exploration, error analysis and novelty share beside the common one."""


def render(package: str, values: dict[str, Any], sheets: Sequence[tuple[str, str]] = ()) -> str:
    """The whole page as text: `page.html` of `package` with `values`; needs nothing but itself to be shown.

    Args:
        package: where the template and what it includes lie; `base.html` and `kit.html` are the kit's.
        values: the template's variables. The functions of `wording` and the heat scale are there as well.
        sheets: further style sheets, (package, file).
    """

    def text(name: str) -> str:
        return _text(KIT if name in ("base.html", "kit.html") else package, name)

    environment = Environment(
        loader=FunctionLoader(text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        {name: value for name, value in vars(wording).items() if callable(value) and name[0].islower()},
        style=theme.coloured("".join(_text(*sheet) for sheet in ((KIT, "style.css"), *sheets))),
        heat_stops=images.scale_stops(),
        heat_from=images.HEAT_FROM,
        heat_to=images.HEAT_TO,
    )
    return environment.get_template("page.html").render(values)


def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")
