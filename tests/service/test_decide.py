"""Site rules, the decision engine, and the figures of an answer."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, norm

from router.decision import Decision, Route
from router.exact_binomial import interval as exact_interval
from service.decide.engine import STRICTNESS, decide
from service.decide.figures import anomaly_score, confidence, thresholds
from service.decide.rules import Rule, SiteRules, read_rules
from tool_side import Inspection, load_bundle
from wafer_data.errors import InputError

SALT = b"salt"
ABOUT = {"tool": "ETCH-07", "layer": "M1", "lot": "L1", "wafer_id": "W", "point": "1", "recipe": None}


def result(decision: str, score: float | None = 0.0) -> Inspection:
    return Inspection(source="<bytes>", decision=Decision(decision), route=Route.LOWRES, score=score)


def rules(*several: Rule) -> SiteRules:
    return SiteRules(several)


@given(
    st.sampled_from(["PASS", "REVIEW", "REJECT"]),
    st.lists(st.sampled_from(["review", "quarantine", "reject", "audit"]), max_size=5),
    st.text(max_size=5),
)
def test_a_rule_only_ever_makes_a_decision_stricter(said: str, actions: list[str], key: str) -> None:
    site = rules(*(Rule(f"r{n}", action, {"tool": ("ETCH*",)}, 0.7) for n, action in enumerate(actions)))
    found = decide(result(said), site, ABOUT, salt=SALT, image_key=key)
    assert STRICTNESS[found.decision] >= STRICTNESS[said] and found.model_decision == said
    assert found == decide(result(said), site, ABOUT, salt=SALT, image_key=key), "the same for a retry"
    assert (found.rule is not None) or found.decision == said
    assert found.audit_share is None or found.decision == "PASS"


def test_an_image_without_a_score_is_never_pass() -> None:
    found = decide(result("PASS", None), rules(), ABOUT, salt=SALT, image_key="")
    assert found.decision == "REVIEW" and found.reasons == ("the image was not scored",)


def test_each_decision_names_the_rule_that_spoke() -> None:
    site = rules(
        Rule("metal 1", "review", {"layer": ("M1",)}),
        Rule("etcher", "quarantine", {"tool": ("ETCH-07",)}),
        Rule("other", "reject", {"layer": ("M2",)}),
    )
    found = decide(result("PASS"), site, ABOUT, salt=SALT, image_key="")
    assert found.rule == "metal 1" and found.decision == "REVIEW"
    assert any("ETCH-07 is in quarantine" in reason for reason in found.reasons)


def test_a_sample_has_its_share_and_is_not_foreseeable_without_the_secret() -> None:
    site = rules(Rule("sample", "audit", {}, 0.1))
    drawn = [decide(result("PASS"), site, ABOUT, salt=SALT, image_key=str(n)) for n in range(5000)]
    chosen = {n for n, one in enumerate(drawn) if one.audit_share is not None}
    assert abs(len(chosen) - 500) < 4 * math.sqrt(5000 * 0.09)
    assert all(one.decision == "PASS" for one in drawn)
    other = {n for n in range(5000) if decide(result("PASS"), site, ABOUT, salt=b"x", image_key=str(n)).rule}
    assert len(chosen & other) < 150


def test_two_samples_give_the_chance_of_either() -> None:
    site = rules(Rule("a", "audit", {}, 0.5), Rule("b", "audit", {"layer": ("M*",)}, 0.2))
    shares = {decide(result("PASS"), site, ABOUT, salt=SALT, image_key=str(n)).audit_share for n in range(50)}
    assert shares == {None, 0.6}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[rule]]\nname = 'x'\nthen = 'pass'", "then must be one of"),
        ("[[rule]]\nname = 'x'\nthen = 'review'\nwhen = { wafer = 'a' }", "when knows"),
        ("[[rule]]\nname = 'x'\nthen = 'review'\nshare = 0", "above 0"),
        ("[[rule]]\nname = 'x'\nthen = 'quarantine'", "needs a tool"),
        ("[[rule]]\nthen = 'review'", "name must be"),
        ("[[rule]]\nname = 'x'\nthen = 'review'\n[[rule]]\nname = 'x'\nthen = 'review'", "two rules"),
        ("[review]\ndefect_types = 'scratch'\n", "at most 9 different"),
        ("[review]\ndefect_types = ['a', 'a']\n", "at most 9 different"),
        ("[review]\ndefect_types = ['a', 7]\n", "at most 9 different"),
        ("[review]\ntypes = ['a']\n", "a table of defect_types"),
        ("[[rules]]\n", "unknown key 'rules'"),
        ("[retention]\ndays = -1", "at least 0"),
        ("[retention]\npass_days = 30\ndays = 10", "must not be longer"),
        ("name = ", "not valid TOML"),
    ],
)
def test_a_wrong_rules_file_is_refused_with_the_reason(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_rules(path)


def test_the_figures_are_those_of_the_documentation(bundle: Path) -> None:
    policy = load_bundle(bundle).policy
    scale = thresholds(policy)
    assert scale["review"] == pytest.approx(
        math.exp(policy.full_location + policy.full_scale * policy.review_above)
    )
    score = policy.review_above - 1.3
    assert confidence(score, policy) == pytest.approx(norm.cdf(1.3))
    assert confidence(policy.review_above, policy) == 0.5
    assert (anomaly_score(score, policy) or 0) < (scale["review"] or 0)
    assert anomaly_score(None, policy) is None and confidence(math.nan, policy) is None


@given(st.integers(1, 400), st.data(), st.sampled_from([0.9, 0.95, 0.99]))
def test_exact_intervals_agree_with_scipy(count: int, data: st.DataObject, level: float) -> None:
    hits = data.draw(st.integers(0, count))
    low, high = exact_interval(hits, count, level)
    alpha = (1 - level) / 2
    assert low == pytest.approx(beta.ppf(alpha, hits, count - hits + 1) if hits else 0, abs=1e-9)
    assert high == pytest.approx(beta.ppf(1 - alpha, hits + 1, count - hits) if hits < count else 1, abs=1e-9)


def test_the_service_takes_over_changed_rules_and_keeps_the_old_ones_if_they_are_wrong(
    client: Callable[..., object], service: object, tmp_path: Path
) -> None:
    from dataclasses import replace

    path = tmp_path / "rules.toml"
    path.write_text("[[rule]]\nname = 'all'\nthen = 'review'\n")
    service.settings = replace(service.settings, rules=path)  # type: ignore[attr-defined]
    background = client.app.state.background  # type: ignore[attr-defined]
    background.refresh()
    said = client.post(
        "/api/v1/inspect", params={"wafer_id": "W", "inspection_point": 1}, content=b"x"
    ).json()  # type: ignore[attr-defined]
    path.write_text("[[rule]]\nname = 'all'\nthen = 'pass'\n")
    background.refresh()
    assert [rule.then for rule in service.rules.rules] == ["review"]  # type: ignore[attr-defined]
    assert "refused" in service.notes["rules"] and said["decision"] == "REVIEW"  # type: ignore[attr-defined]
