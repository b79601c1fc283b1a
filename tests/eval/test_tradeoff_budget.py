"""Budgets: what people write, what it means, and which settings keep it."""

import pytest

from eval.tradeoff.budget import answer, parse_budget
from eval.tradeoff.config import DEFAULT_BUDGETS, FabConfig
from eval.tradeoff.points import Point
from wafer_data.errors import InputError


def point(model="routed", batch=1, threads=1, mean=2.0, p99=4.0, auroc=0.98, **more) -> Point:
    return Point(
        model=model,
        batch=batch,
        threads=threads,
        mean_ms=mean,
        p50_ms=mean,
        p99_ms=p99,
        runs=100,
        images_per_second=1000 * batch / mean,
        timed="made up",
        typical_ms=mean / batch,
        image_auroc=auroc,
        **more,
    )


@pytest.mark.parametrize(
    ("text", "kind", "milliseconds", "images", "per_second"),
    [
        ("50 ms", "image", 50.0, 1, None),
        ("50ms an image", "image", 50.0, 1, None),
        ("0.05 s per image", "image", 50.0, 1, None),
        ("2 seconds", "image", 2000.0, 1, None),
        ("150 ms for the lot", "lot", 150.0, 25, None),
        ("150 ms for the lot of 200", "lot", 150.0, 200, None),
        ("1.5 s for 1 000 images", "lot", 1500.0, 1000, None),
        ("3 min a lot", "lot", 180_000.0, 25, None),
        ("10 000 images an hour", "rate", None, 1, 10_000 / 3600),
        ("10,000 wafers per hour", "rate", None, 1, 10_000 / 3600),
        ("12 images/s", "rate", None, 1, 12.0),
        ("2.4 million images a month", "rate", None, 1, 2.4e6 / (30 * 86400)),
    ],
)
def test_what_people_write(text, kind, milliseconds, images, per_second):
    budget = parse_budget(text)
    assert (budget.kind, budget.images) == (kind, images)
    assert budget.milliseconds == (None if milliseconds is None else pytest.approx(milliseconds))
    assert budget.per_second == (None if per_second is None else pytest.approx(per_second))


@pytest.mark.parametrize(
    "text", ["", "fast", "50", "0 ms", "-5 ms", "50 parsecs", "10 images", "5 ms for the lot of 0"]
)
def test_what_means_nothing_is_refused_with_the_forms(text):
    with pytest.raises(InputError, match="budget"):
        parse_budget(text)


def test_the_size_of_a_lot_can_be_stated():
    assert parse_budget("150 ms for the lot", lot=50).images == 50


def test_an_image_waits_for_its_whole_batch():
    budget = parse_budget("50 ms")
    assert budget.met_by(point(p99=50.0))
    assert not budget.met_by(point(batch=64, mean=60.0, p99=61.0))


def test_a_lot_pays_for_the_last_batch_in_full():
    # 25 images in batches of 8 are 4 batches of 10 ms.
    assert parse_budget("1 s for the lot").figure(point(batch=8, mean=10.0)) == pytest.approx(40.0)


def test_a_rate_is_kept_from_the_stated_number_on():
    assert parse_budget("500 images a second").met_by(point(mean=2.0))
    assert not parse_budget("501 images a second").met_by(point(mean=2.0))


def test_the_answer_names_the_most_accurate_the_fastest_and_the_product():
    slow = point("teacher", mean=30.0, p99=45.0, auroc=0.99)
    quick = point("lowres", mean=0.5, p99=1.0, auroc=0.95)
    product = point("routed", mean=1.0, p99=3.0, auroc=0.98)
    beyond = point("full", batch=64, mean=90.0, p99=99.0, auroc=1.0)
    found = answer(parse_budget("50 ms"), [slow, quick, product, beyond])
    assert (found.meeting, found.considered) == (3, 4)
    assert (found.best, found.fastest, found.product, found.nearest) == (slow, quick, product, None)


def test_where_nothing_keeps_it_the_nearest_is_named():
    found = answer(parse_budget("0.1 ms"), [point(p99=4.0), point("lowres", p99=0.2)])
    assert found.meeting == 0 and found.best is None
    assert found.nearest is not None and found.nearest.model == "lowres"


def test_another_runs_route_is_not_the_product():
    assert answer(parse_budget("50 ms"), [point(run="other")]).product is None


def test_a_budget_in_the_configuration_is_checked_at_once():
    assert FabConfig().budgets == list(DEFAULT_BUDGETS)
    with pytest.raises(ValueError, match="not understood"):
        FabConfig(budgets=["soon"])
