"""Fills the page template of a measurement system analysis."""

from eval.msa.findings import LIMITS, Msa
from eval.msa.kappa import Agreement
from eval.msa.rates import Rate
from eval.pages.render import ANALYSIS, render
from eval.pages.wording import MISSING, NBSP, percent_bounds

VERDICTS = {
    "shown": "acceptable",
    "marginal": "marginal",
    "failed": "not acceptable",
    "open": "too few parts to say",
    "unknown": "cannot be measured",
}


def render_page(found: Msa) -> str:
    """The whole HTML page as text; needs nothing but itself to be shown."""
    return render(
        "eval.msa",
        {
            "found": found,
            "kappa_text": kappa_text,
            "kappa_bounds": kappa_bounds,
            "rate_bounds": rate_bounds,
            "limits": LIMITS,
            "verdicts": VERDICTS,
            "missing": MISSING,
        },
        (ANALYSIS,),
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
