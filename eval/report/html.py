"""Fills the page template."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from eval.report import images, narrative, plots, requirements, theme, wording
from eval.report.pareto import latency_plot
from eval.report.tables import model_rows, synthetic_figures, timings, type_rows
from eval.report.training import training_plot
from eval.results import Evaluation, Example


def render_report(evaluation: Evaluation) -> str:
    """The whole HTML page as text; needs nothing but itself to be shown."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(vars_of_wording())
    folder = files("eval.report")
    template = environment.from_string(folder.joinpath("template.html").read_text(encoding="utf-8"))
    return template.render(
        evaluation=evaluation,
        data=evaluation.data,
        routing=evaluation.routing,
        routed=evaluation.models.get("routed"),
        provenance=evaluation.provenance,
        certificate=evaluation.certificate,
        style=theme.coloured(folder.joinpath("style.css").read_text(encoding="utf-8")),
        summary=narrative.summary(evaluation),
        limits=narrative.limits(evaluation),
        requirements=requirements.requirements(evaluation),
        models=model_rows(evaluation),
        timings=timings(evaluation),
        types=type_rows(evaluation),
        synthetic=synthetic_figures(evaluation.certificate),
        plots=_plots(evaluation),
        curves={
            theme.SERIES[name].label: training_plot(name, curve) for name, curve in evaluation.curves.items()
        },
        galleries=_galleries(evaluation),
        masked=any(example.mask is not None for example in evaluation.misses),
        heat_stops=images.scale_stops(),
        heat_from=images.HEAT_FROM,
        heat_to=images.HEAT_TO,
    )


def vars_of_wording() -> dict[str, Any]:
    """The functions of `wording`, for use inside the template."""
    return {name: value for name, value in vars(wording).items() if callable(value) and name[0].islower()}


def _plots(evaluation: Evaluation) -> dict[str, str]:
    """The plots that this evaluation has figures for, by name."""
    drawn: dict[str, str] = {}
    if evaluation.data.test_defect and evaluation.data.test_normal and evaluation.models:
        drawn["roc"] = plots.roc_plot(evaluation)
        drawn["roc_zoom"] = plots.roc_plot(evaluation, limit=0.2)
        if any(model.latency for model in evaluation.models.values()):
            drawn["latency"] = latency_plot(evaluation, requirements.LATENCY_BUDGET_MS)
    routing = evaluation.routing
    if routing is not None:
        drawn["lowres_histogram"] = plots.histogram_plot(
            evaluation.labels, routing.lowres_standard, {"escalate": routing.escalate_above}, "low resolution"
        )
        escalated = routing.routes == "full"
        if escalated.any():
            drawn["routed_histogram"] = plots.histogram_plot(
                evaluation.labels[escalated],
                routing.routed_standard[escalated],
                {"review": routing.review_above, "reject": routing.reject_above},
                "escalated images",
            )
        if len(routing.curve_escalation):
            drawn["routing"] = plots.routing_plot(routing)
    return drawn


def _galleries(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "title": "Worst misses",
            "explanation": "Defects that passed, the least suspicious first.",
            "none": "No defect passed." if evaluation.data.test_defect else "The test set holds no defect.",
            "pictures": [_picture(example) for example in evaluation.misses],
        },
        {
            "title": "Worst false alarms",
            "explanation": "Normal images that were stopped, the most suspicious first.",
            "none": "No normal image was stopped.",
            "pictures": [_picture(example) for example in evaluation.false_alarms],
        },
    ]


def _picture(example: Example) -> dict[str, Any]:
    return {
        "example": example,
        "grey": images.grey_picture(example),
        "heat": images.heat_picture(example),
    }
