"""report.json: exactly the keys of schema 1, plain JSON numbers, null for what is unknown."""

import json
import math
from dataclasses import replace

from tests.report_schema import DATA, MODEL, ROUTING


def strict_json(content: dict) -> dict:
    return json.loads(json.dumps(content, allow_nan=False))


def test_the_keys_are_those_of_the_schema_and_no_others(evaluation):
    report = strict_json(evaluation.to_report_json())
    assert set(report) == {"schema", "data", "models", "routing"}
    assert report["schema"] == 1
    assert set(report["data"]) == DATA
    assert set(report["routing"]) == ROUTING
    assert set(report["models"]) == set(evaluation.models)
    for model in report["models"].values():
        assert set(model) == MODEL
        assert set(model["latency_ms"]) == {"p50", "p99"}
        assert set(model["intervals"]) == {
            "image_auroc", "image_auprc", "fnr_at_fpr5", "pixel_auroc", "pixel_aupro"
        }  # fmt: skip


def test_intervals_are_pairs_and_null_where_there_is_none(evaluation):
    report = strict_json(evaluation.to_report_json())
    full = evaluation.models["full"]
    assert report["models"]["full"]["intervals"]["image_auroc"] == list(full.intervals["image_auroc"])
    assert report["models"]["gabor_lbp_ocsvm"]["intervals"]["pixel_auroc"] is None
    typed = replace(full, per_type_intervals={"crack": {"image_auroc": (0.5, 0.75)}})
    report = strict_json(replace(evaluation, models={"full": typed}).to_report_json())
    assert report["models"]["full"]["per_type_intervals"] == {"crack": {"image_auroc": [0.5, 0.75]}}


def test_the_figures_are_those_of_the_evaluation(evaluation):
    report = strict_json(evaluation.to_report_json())
    full = evaluation.models["full"]
    assert report["models"]["full"]["image_auroc"] == full.image_auroc
    assert report["models"]["full"]["per_type"] == full.per_type
    assert report["models"]["full"]["latency_ms"] == {"p50": full.latency.p50, "p99": full.latency.p99}
    assert report["routing"]["fnr"] == evaluation.routing.missed / 160
    assert report["models"]["gabor_lbp_ocsvm"]["pixel_auroc"] is None


def test_without_defects_the_comparisons_are_null(evaluation, without_defects):
    report = strict_json(without_defects(evaluation).to_report_json())
    assert report["routing"]["fnr"] is None and report["routing"]["fnr_upper95"] is None
    assert report["routing"]["fpr"] is not None
    for model in report["models"].values():
        assert model["image_auroc"] is None and model["per_type"] == {}


def test_without_a_route_its_keys_stay_and_are_null(evaluation):
    report = strict_json(replace(evaluation, routing=None).to_report_json())
    assert report["routing"] == dict.fromkeys(ROUTING)


def test_what_json_cannot_hold_becomes_null(evaluation):
    broken = replace(evaluation.models["full"], image_auprc=math.nan, latency=None)
    report = strict_json(replace(evaluation, models={"full": broken}).to_report_json())
    assert report["models"]["full"]["image_auprc"] is None
    assert report["models"]["full"]["latency_ms"] == {"p50": None, "p99": None}


def test_parity_counts_are_written_as_they_are(evaluation):
    parity = strict_json(evaluation.parity.to_json())
    assert parity["images"] == 350
    assert parity["decisions_differ"] == parity["routes_differ"] == 0
    assert parity["max_relative_full_deviation"] == evaluation.parity.max_relative_full_deviation
