"""Which images may be normal, on rows alone: each guard by itself, and the shares."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.retraining.config import ExtractSection
from lifecycle.retraining.guards import Normal, cap_of, capped, is_recent, is_regression, normal_images
from lifecycle.retraining.recent import recent_sample

SETTINGS = ExtractSection(unreviewed=True, margin=1.0)
TRAINED = next(f"W{i}" for i in range(100) if not is_recent(f"W{i}", SETTINGS))
KEPT = next(f"W{i}" for i in range(100) if is_recent(f"W{i}", SETTINGS))


def row(**more) -> dict:
    """An image that passed far below the threshold, inspected at time 50."""
    plain = {
        "id": "i", "wafer_id": TRAINED, "lot": "L", "tool": "T", "received_at": 50.0, "decision": "PASS",
        "model_decision": "PASS", "route": "full", "score": 0.0, "review_above": 3.0, "verdict": None,
        "audit_share": None,
    }  # fmt: skip
    return {**plain, **more}


def chosen(
    rows: list[dict], settings: ExtractSection = SETTINGS, **known: set[str]
) -> tuple[list[Normal], Counter[str]]:
    left_out: Counter[str] = Counter()
    sets = {"not_good": set(), "good": set(), "doubted": set(), "frozen": set(), **known}
    found = normal_images({"a": rows}, settings, since=0.0, until=100.0, left_out=left_out, **sets)
    return found, left_out


def test_an_image_that_passed_far_from_the_threshold_is_normal():
    (one,), _ = chosen([row()])
    assert not one.confirmed


@pytest.mark.parametrize(
    ("rows", "known", "why"),
    [
        ([row(decision="REVIEW", model_decision="REVIEW", verdict="good")], {"good": {"a"}}, "overturned"),
        ([row(decision="REJECT", model_decision="REJECT", verdict="good")], {"good": {"a"}}, "overturned"),
        ([row(decision="REVIEW", model_decision="PASS")], {}, "not PASS each time"),
        (
            [row(received_at=-9e9, decision="REVIEW", model_decision="REVIEW"), row()],
            {},
            "not PASS each time",
        ),
        ([row(verdict="defect")], {}, "known to be defective"),
        ([row(verdict="unsure")], {}, "known to be defective"),
        ([row(verdict="good")], {"not_good": {"a"}, "good": {"a"}}, "known to be defective"),
        ([row(score=None)], {}, "not scored"),
        ([row()], {"frozen": {"a"}}, "frozen set"),
        ([row(wafer_id=KEPT)], {}, "kept for evaluation"),
        ([row(score=2.5)], {}, "near the threshold"),
        ([row()], {"doubted": {"a"}}, "doubted by another version"),
    ],
)
def test_each_guard_keeps_an_image_out_and_says_why(rows: list[dict], known: dict, why: str):
    found, left_out = chosen(rows, **known)
    assert found == []
    assert sum(left_out.values()) == 1 and why in next(iter(left_out))


def test_what_people_called_good_may_lie_near_the_threshold():
    (one,), _ = chosen([row(score=2.9, verdict="good")], good={"a"})
    assert one.confirmed


def test_without_the_site_s_word_only_what_people_saw_is_taken():
    found, left_out = chosen([row()], ExtractSection())
    assert found == [] and left_out == {"nobody looked at it": 1}


@pytest.mark.parametrize("at", [-1.0, 100.0])
def test_the_window_is_half_open(at: float):
    assert chosen([row(received_at=at)])[0] == []


def test_wafers_are_drawn_the_same_everywhere_and_evaluation_wafers_give_no_defect_to_training():
    wafers = [f"W{i}" for i in range(4000)]
    settings = ExtractSection(recent_share=0.1, regression_share=0.5)
    recent = [w for w in wafers if is_recent(w, settings)]
    assert len(recent) / len(wafers) == pytest.approx(0.1, abs=0.02)
    assert all(is_regression(w, settings) for w in recent)
    assert sum(is_regression(w, settings) for w in wafers) / len(wafers) == pytest.approx(0.55, abs=0.03)


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=30), st.floats(0.01, 1.0),
)  # fmt: skip
def test_no_group_gets_more_than_its_share(sizes: list[int], share: float):
    cap = cap_of(sizes, share)
    total = sum(min(size, cap) for size in sizes)
    assert cap == 1 or min(cap, max(sizes)) <= max(share, 1 / len(sizes)) * total + 1e-9
    # and it is the largest such number
    more = cap + 1
    assert cap == max(sizes) or more > max(share, 1 / len(sizes)) * sum(min(s, more) for s in sizes)


def test_one_tool_or_lot_or_hour_does_not_fill_the_set():
    images = [
        Normal(
            f"{i:064x}",
            row(tool="T1" if i < 900 else f"T{i % 4}", lot=f"L{i % 40}", received_at=60.0 * i),
            True,
        )
        for i in range(1000)
    ]
    left_out: Counter[str] = Counter()
    settings = ExtractSection(per_hour=30, lot_share=0.05, tool_share=0.4, most=10_000)
    kept = capped(images, settings, left_out)
    tools, lots = Counter(i.row["tool"] for i in kept), Counter(i.row["lot"] for i in kept)
    assert len(kept) + sum(left_out.values()) == 1000
    assert max(tools.values()) <= 0.4 * len(kept) and max(lots.values()) <= 0.05 * len(kept) + 1
    assert kept == capped(reversed(images), settings, Counter())


def test_what_the_line_sends_is_drawn_whatever_was_decided():
    """2 % of PASS images are audited, all flagged ones are reviewed: the sample must not be full of flagged ones."""
    inspections = {}
    for i in range(20_000):
        flagged = i % 10 == 0
        audited = not flagged and i % 50 == 1
        if flagged or audited:
            decision = "REVIEW" if flagged else "PASS"
            one = row(id=f"i{i}", wafer_id=KEPT, decision=decision, audit_share=0.02 if audited else None)
            inspections[f"{i:064x}"] = [one]
    found = recent_sample(inspections, dict.fromkeys(inspections, "good"), SETTINGS, since=0.0, until=100.0)
    flagged = sum(one.row["decision"] != "PASS" for one in found)
    assert flagged / len(found) == pytest.approx(0.1, abs=0.03)
