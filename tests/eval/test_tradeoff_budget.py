"""Budgets: what is configured, what it means, and which settings keep it."""

import pytest
from pydantic import ValidationError

from eval.tradeoff.budget import Budget, answer
from eval.tradeoff.config import FabConfig
from eval.tradeoff.points import Point


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


IMAGE, RATE = Budget("image", 50.0), Budget("rate", per_second=500.0)


def test_the_configured_figures_become_budgets():
    fab = FabConfig(image_ms=[50.0, 20.0], lot_ms=[150.0], lot_images=200, images_per_hour=[36_000.0])
    image, quick, lot, rate = fab.all_budgets
    assert (image.kind, image.milliseconds, quick.milliseconds) == ("image", 50.0, 20.0)
    assert (lot.kind, lot.milliseconds, lot.images) == ("lot", 150.0, 200)
    assert (rate.kind, rate.per_second) == ("rate", pytest.approx(10.0))


@pytest.mark.parametrize("wrong", [{"image_ms": [0.0]}, {"lot_ms": [-1.0]}, {"images_per_hour": ["soon"]}])
def test_a_budget_that_cannot_be_is_refused_at_once(wrong):
    with pytest.raises(ValidationError):
        FabConfig(**wrong)


def test_an_image_waits_for_its_whole_batch():
    budget = IMAGE
    assert budget.met_by(point(p99=50.0))
    assert not budget.met_by(point(batch=64, mean=60.0, p99=61.0))


def test_a_lot_pays_for_the_last_batch_in_full():
    # 25 images in batches of 8 are 4 batches of 10 ms.
    assert Budget("lot", 1000.0, 25).figure(point(batch=8, mean=10.0)) == pytest.approx(40.0)


def test_a_rate_is_kept_from_the_stated_number_on():
    assert RATE.met_by(point(mean=2.0))
    assert not Budget("rate", per_second=501.0).met_by(point(mean=2.0))


def test_the_answer_names_the_most_accurate_the_fastest_and_the_product():
    slow = point("teacher", mean=30.0, p99=45.0, auroc=0.99)
    quick = point("lowres", mean=0.5, p99=1.0, auroc=0.95)
    product = point("routed", mean=1.0, p99=3.0, auroc=0.98)
    beyond = point("full", batch=64, mean=90.0, p99=99.0, auroc=1.0)
    found = answer(IMAGE, [slow, quick, product, beyond])
    assert (found.meeting, found.considered) == (3, 4)
    assert (found.best, found.fastest, found.product, found.nearest) == (slow, quick, product, None)


def test_where_nothing_keeps_it_the_nearest_is_named():
    found = answer(Budget("image", 0.1), [point(p99=4.0), point("lowres", p99=0.2)])
    assert found.meeting == 0 and found.best is None
    assert found.nearest is not None and found.nearest.model == "lowres"


def test_another_runs_route_is_not_the_product():
    assert answer(IMAGE, [point(run="other")]).product is None
