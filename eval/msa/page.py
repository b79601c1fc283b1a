"""Fills the page template of a measurement system analysis."""

from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from eval.msa.findings import LIMITS, Msa
from eval.msa.kappa import Agreement
from eval.msa.rates import Rate
from eval.report import theme, wording
from eval.report.wording import MISSING, NBSP, percent, percent_bounds

VERDICTS = {
    "shown": "acceptable",
    "marginal": "marginal",
    "failed": "not acceptable",
    "open": "too few parts to say",
    "unknown": "cannot be measured",
}


def render_page(found: Msa) -> str:
    """The whole HTML page as text; needs nothing but itself to be shown."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    words = {name: value for name, value in vars(wording).items() if callable(value) and name[0].islower()}
    environment.globals.update(words)
    style = "".join(
        _text(f"eval.{folder}", name)
        for folder, name in (("report", "style.css"), ("explore", "explore.css"))
    )
    template = environment.from_string(_text("eval.msa", "template.html"))
    return template.render(
        found=found,
        style=theme.coloured(style),
        kappa_text=kappa_text,
        kappa_bounds=kappa_bounds,
        rate_bounds=rate_bounds,
        limits=LIMITS,
        verdicts=VERDICTS,
        percent=percent,
        missing=MISSING,
    )


def kappa_text(found: Agreement | None) -> str:
    """Kappa with two decimals; a dash where it does not exist."""
    return MISSING if found is None or found.kappa is None else f"{found.kappa:.2f}"


def kappa_bounds(found: Agreement | None) -> str:
    """Its interval; empty where it does not exist."""
    if found is None or found.low is None or found.high is None:
        return ""
    return f"{found.low:.2f} to {found.high:.2f}"


def rate_bounds(found: Rate | None) -> str:
    """Count and interval of a rate."""
    if found is None or found.low is None or found.high is None:
        return ""
    return f"{found.events} of {found.trials};{NBSP}{percent_bounds((found.low, found.high))}"


def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")
