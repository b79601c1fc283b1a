"""The report's page: what each of its sections is given."""

from typing import Any

from eval.pages import images
from eval.pages.render import render
from eval.pages.theme import SERIES
from eval.report import (
    baselines,
    certificate,
    narrative,
    plots,
    promise_plot,
    requirements,
    tradeoff,
    tradeoff_plot,
)
from eval.report.errors import top_modes
from eval.report.extras import Extras
from eval.report.pareto import latency_plot
from eval.report.tables import model_rows, synthetic_figures, timings, type_rows
from eval.report.training import training_plot
from eval.results import Evaluation, Example


def render_report(evaluation: Evaluation, extras: Extras | None = None) -> str:
    """The whole HTML page as text; needs nothing but itself to be shown."""
    extras = extras or Extras()
    return render(
        "eval.report",
        {
            "evaluation": evaluation,
            "extras": extras,
            "data": evaluation.data,
            "routing": evaluation.routing,
            "routed": evaluation.models.get("routed"),
            "provenance": evaluation.provenance,
            "certificate": evaluation.certificate,
            "summary": narrative.summary(evaluation),
            "limits": narrative.limits(evaluation),
            "requirements": requirements.requirements(evaluation),
            "models": model_rows(evaluation),
            "timings": timings(evaluation),
            "types": type_rows(evaluation),
            "synthetic": synthetic_figures(evaluation.certificate),
            "plots": _plots(evaluation, extras),
            "curves": {
                SERIES[name].label: training_plot(name, curve) for name, curve in evaluation.curves.items()
            },
            "sweep": baselines.sweep_rows(evaluation.baselines),
            "galleries": _galleries(evaluation),
            "boundary": _boundary(extras),
            "masked": any(example.mask is not None for example in evaluation.misses),
            "modes": top_modes(extras.errors),
            **_certified(evaluation),
            **_times(extras),
        },
    )


def _plots(evaluation: Evaluation, extras: Extras) -> dict[str, str]:
    """The plots that this evaluation has figures for, by name."""
    drawn: dict[str, str] = {}
    if evaluation.data.test_defect and evaluation.data.test_normal and evaluation.models:
        drawn["roc"] = plots.roc_plot(evaluation)
        drawn["roc_zoom"] = plots.roc_plot(evaluation, limit=0.2)
        timed = any(model.latency for model in evaluation.models.values())
        shown = (
            tradeoff_plot.tradeoff_plot(extras.study, requirements.LATENCY_BUDGET_MS)
            if extras.study
            else None
        )
        if shown is not None:
            drawn["tradeoff"] = shown
        elif timed:
            drawn["latency"] = latency_plot(evaluation, requirements.LATENCY_BUDGET_MS)
    sweep = baselines.sweep_plot(evaluation.baselines)
    if sweep is not None:
        drawn["sweep"] = sweep
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
            drawn["routing"] = plots.routing_plot(routing, evaluation.data.test_defect)
        if extras.calibration_z is not None and len(extras.calibration_z):
            drawn["promise"] = promise_plot.promise_plot(
                routing, evaluation.labels, extras.calibration_z, requirements.ESCALATION
            )
    return drawn


def _certified(evaluation: Evaluation) -> dict[str, Any]:
    found = evaluation.certificate
    return {
        "promises": certificate.promises(found),
        "certificate_words": certificate.words(found),
        "needs": certificate.needs(found),
        "sample_sentence": certificate.sample_sentence(found),
    }


def _times(extras: Extras) -> dict[str, Any]:
    study, fab = extras.study, extras.fab
    return {
        "replies": tradeoff.replies(extras.budgets),
        "batch_rows": tradeoff.batch_rows(study) if study else [],
        "thread_rows": tradeoff.thread_rows(study) if study else [],
        "point_label": tradeoff.label,
        "tools_sentence": tradeoff.tools_sentence(fab) if fab else "",
        "month_sentence": tradeoff.month_sentence(fab) if fab else "",
        "latency_budget_ms": requirements.LATENCY_BUDGET_MS,
    }


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


def _boundary(extras: Extras) -> list[dict[str, Any]]:
    """Galleries of the images on both sides of the escalation threshold; empty without any."""
    if not extras.just_kept and not extras.just_escalated:
        return []
    return [
        {
            "title": "Just below: passed by the low-resolution student",
            "explanation": "A little more suspicion, and the full student would have looked. Nearest first.",
            "none": "No image lies below the threshold.",
            "pictures": [_picture(example) for example in extras.just_kept],
        },
        {
            "title": "Just above: sent to the full student",
            "explanation": "A little less suspicion, and they would have passed unseen by it. Nearest first.",
            "none": "No image lies above the threshold.",
            "pictures": [_picture(example) for example in extras.just_escalated],
        },
    ]


def _picture(example: Example) -> dict[str, Any]:
    return {
        "example": example,
        "grey": images.grey_address(example.grey, example.mask),
        "heat": images.heat_address(example.grey, example.heat),
    }
