"""The certificate in sentences."""

import json
import subprocess
import sys

import numpy as np
import pytest

from router.calibrate import calibrate_policy
from router.certificate import certificate_summary
from router.certificate_text import matches_sample
from router.config import RouterConfig
from router.gate import QualityGate
from wafer_data.errors import InputError


def certificate(gate: QualityGate, defects: int = 0, **given: object) -> dict:
    rng = np.random.default_rng(0)
    config = RouterConfig(**{key: given.pop(key) for key in ("max_fnr",) if key in given})
    if defects:
        given |= {
            "defect_lowres": rng.lognormal(6, 1, defects),
            "defect_full": rng.lognormal(6, 1, defects),
            "defect_types": ["pit"] * (defects // 2) + ["haze"] * (defects - defects // 2),
        }
    normals = rng.lognormal(size=199), rng.lognormal(size=199)
    return json.loads(json.dumps(calibrate_policy(*normals, gate, config, **given)[1]))


def line(lines: list[str], start: str) -> str:
    (found,) = [text for text in lines if text.startswith(start)]
    return found


def test_it_says_that_misses_are_unknown_and_what_it_takes_to_know(gate: QualityGate) -> None:
    lines = certificate_summary(certificate(gate))
    assert "UNKNOWN" in line(lines, "Defects missed")
    assert any("0.1% at 95% confidence needs 2995 labelled defects" in text for text in lines)
    assert "6.50% expected (asked for: 6.50%)" in line(lines, "Normal images escalated")
    assert line(lines, "The chance that escalation lies within its budget").endswith("would make it 95%.")
    assert not any(text.startswith("SYNTHETIC") for text in lines)


def test_it_names_the_limit_the_misses_and_the_types(gate: QualityGate) -> None:
    lines = certificate_summary(certificate(gate, 228))
    assert "228 labelled defects (haze 114, pit 114)" in line(lines, "Sample")
    assert "at most 1.31% with 95% confidence; 0 of 228" in line(lines, "Defects missed: ")
    assert "in any mixture of these types" in line(lines, "Defects missed, ")
    assert "you have 228" in line(lines, "Needed: a miss rate below 0.1%")
    assert any("holds for the labelled types (haze, pit)" in text for text in lines)


def test_it_says_when_defects_chose_the_thresholds(gate: QualityGate) -> None:
    lines = certificate_summary(certificate(gate, 228, max_fnr=0.05))
    assert "at most 5.00% with 95% confidence" in line(lines, "Defects missed")
    assert "Learn-then-Test" in line(lines, "Defects missed")
    assert "whatever the labelled defects chose" in line(lines, "Normal images escalated")


def test_synthetic_evidence_stands_apart(gate: QualityGate) -> None:
    strange = np.full(30, 1e6)
    lines = certificate_summary(certificate(gate, synthetic_lowres=strange, synthetic_full=strange))
    assert "0 of 30 ended as PASS" in line(lines, "SYNTHETIC anomalies, apart from all of the above")
    assert "UNKNOWN" in line(lines, "Defects missed")


def test_it_knows_its_own_sample(gate: QualityGate) -> None:
    rng = np.random.default_rng(0)
    scores = {"lowres": rng.lognormal(size=199).tolist(), "full": rng.lognormal(size=199).tolist()}
    assert matches_sample(certificate(gate), scores)
    assert not matches_sample(certificate(gate), scores | {"lowres": scores["full"]})
    assert not matches_sample(certificate(gate, 40), scores)


@pytest.mark.parametrize("broken", [{}, {"schema": 1}, None])
def test_something_else_is_refused(gate: QualityGate, broken: dict | None) -> None:
    content = broken if broken is not None else certificate(gate) | {"escalation": {"expected": "many"}}
    with pytest.raises(InputError, match="calibrate again"):
        certificate_summary(content)


def test_reading_a_certificate_needs_nothing_of_the_training_side() -> None:
    code = (
        "import sys, router.certificate_text, waferroute.certificate_check; "
        "print({'scipy', 'pydantic', 'torch', 'mapie', 'sklearn'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "set()", ended.stderr
