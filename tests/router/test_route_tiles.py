"""Large images along the route: every tile for itself, one decision, and rates that are promised of images."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.calibrate_tiles import calibrate_tiled_policy
from router.certificate_text import certificate_summary
from router.config import RouterConfig
from router.gate import QualityGate
from router.policy import RoutingPolicy
from router.route_scores import RouteScores, look, score_batches
from wafer_data.errors import InputError
from wafer_data.imaging.tiling import TiledImage

OPEN = QualityGate(dict.fromkeys(("mean", "std", "black_share", "white_share", "sharpness"), (0.0, 1e9)), 100)
POLICY = RoutingPolicy(
    lowres_location=0.0,
    lowres_scale=1.0,
    full_location=0.0,
    full_scale=1.0,
    escalate_above=1.0,
    review_above=2.0,
    reject_above=4.0,
    gate=OPEN,
)
SCORES = st.lists(st.floats(-3, 6), min_size=1, max_size=6)


def scores(lowres: list[list[float]], full: list[list[float]]) -> RouteScores:
    """From standardised scores, tile by tile, of each image."""
    tiles = np.array([len(one) for one in lowres])
    low, high = (np.exp(np.concatenate([np.array(one, float) for one in both])) for both in (lowres, full))
    return RouteScores(low, high, tiles=tiles)


def found(lowres: list[float], full: list[float]) -> tuple[str, str, float]:
    routed = scores([lowres], [full]).under(POLICY)
    return str(routed.decisions[0]), str(routed.routes[0]), round(float(routed.score[0]), 6)


def test_an_image_of_which_no_tile_is_escalated_passes_with_the_highest_low_score():
    assert found([0.2, 0.9, -1.0], [9.0, 9.0, 9.0]) == ("PASS", "lowres", 0.9)


def test_one_escalated_tile_above_the_threshold_flags_the_image():
    assert found([1.5, 0.0, 1.2], [0.5, 9.0, 3.0]) == ("REVIEW", "full", 3.0)
    assert found([1.5, 0.0, 1.2], [5.0, 9.0, 3.0]) == ("REJECT", "full", 5.0)


def test_escalated_tiles_that_are_found_normal_let_the_image_pass():
    assert found([1.5, 0.0, 1.2], [0.5, 9.0, 1.9]) == ("PASS", "full", 1.9)


def test_a_tile_without_a_usable_score_is_review_whatever_the_others_say():
    for broken in (np.nan, np.inf):
        one = scores([[0.0, 1.5]], [[0.0, 0.0]])
        lowres = one.lowres.copy()
        lowres[0] = broken
        assert replace(one, lowres=lowres).under(POLICY).decisions.tolist() == ["REVIEW"]


@given(SCORES, st.integers(0, 99))
def test_an_image_is_flagged_exactly_when_one_of_its_tiles_would_be(lowres: list[float], seed: int):
    full = np.random.default_rng(seed).normal(1.5, 1.5, len(lowres)).tolist()
    image = scores([lowres], [full]).under(POLICY)
    alone = scores([[one] for one in lowres], [[one] for one in full]).under(POLICY)
    severity = ["PASS", "REVIEW", "REJECT"]
    worst = max(severity.index(str(one)) for one in alone.decisions)
    assert severity.index(str(image.decisions[0])) == worst
    assert bool(image.escalated[0]) == bool(alone.escalated.any())


@given(SCORES, st.integers(0, 99))
def test_the_decision_depends_neither_on_neighbours_nor_on_the_order_of_tiles(lowres: list[float], seed: int):
    rng = np.random.default_rng(seed)
    full = rng.normal(1.5, 1.5, len(lowres)).tolist()
    turn = rng.permutation(len(lowres))
    together = scores(
        [[0.0, 3.0], lowres, [lowres[i] for i in turn]], [[0.0, 3.0], full, [full[i] for i in turn]]
    ).under(POLICY)
    alone = scores([lowres], [full]).under(POLICY)
    assert together.decisions[1] == together.decisions[2] == alone.decisions[0]
    assert together.score[1] == together.score[2] == alone.score[0]


def test_images_can_be_taken_out_with_their_tiles():
    all_three = scores([[0.0, 1.0], [2.0], [3.0, 4.0, 5.0]], [[0.0, 1.0], [2.0], [3.0, 4.0, 5.0]])
    for rows in (np.array([2, 0]), np.array([True, False, True])):
        part = all_three[rows]
        assert len(part) == 2
        assert part.tiles is not None and part.tiles.sum() == 5 == len(part.lowres)
    np.testing.assert_allclose(np.log(all_three[np.array([2, 0])].full), [3, 4, 5, 0, 1], atol=1e-12)


def test_what_is_escalated_counts_in_tiles():
    three = scores([[0.0, 2.0], [0.0, 0.0], [2.0, 2.0]], [[0.0] * 2] * 3)
    assert three.escalated_share(POLICY, np.ones(3, bool)) == 0.5
    assert three.escalated_share(POLICY, np.array([False, True, False])) == 0.0


def test_large_images_and_single_squares_are_scored_in_one_place():
    rng = np.random.default_rng(0)
    squares = rng.random((5, 64, 64)).astype(np.float32)
    large = TiledImage(squares[0], list(squares[1:]))

    class Output:
        def __init__(self, seen: np.ndarray) -> None:
            self.score, self.map = seen.mean((1, 2, 3)) + 1.0, seen[:, 0, ::8, ::8]

    (batch,) = score_batches(OPEN, [large], {"lowres": Output, "full": Output}, batch_size=3)
    route = RouteScores.of([batch])
    assert route.tiles is not None and route.tiles.tolist() == [4]
    np.testing.assert_allclose(route.lowres, squares[1:].mean((1, 2)) + 1.0, rtol=1e-6)
    assert batch.outputs["full"].map.shape == (4, 8, 8)
    whole = RouteScores.of(score_batches(OPEN, list(squares[1:]), {"lowres": Output, "full": Output}))
    np.testing.assert_array_equal(whole.lowres, route.lowres)


def test_the_gate_measures_the_whole_image_but_the_sharpness_of_the_tiles():
    rng = np.random.default_rng(0)
    blurred = np.full((64, 64), 0.5, np.float32) + rng.normal(0, 1e-3, (64, 64)).astype(np.float32)
    sharp = np.kron(rng.random((16, 16)), np.ones((4, 4))).astype(np.float32)
    assert (
        look(OPEN, TiledImage(blurred, [sharp] * 4)).figures.sharpness == look(OPEN, sharp).figures.sharpness
    )
    assert look(OPEN, TiledImage(blurred, [sharp] * 4)).figures.mean == look(OPEN, blurred).figures.mean


def simulated(rng: np.random.Generator, images: int, tiles: int, shift: float = 0.0) -> RouteScores:
    """Tiles that resemble each other within an image, and whose two scores do; `shift` of one tile an image."""
    own = rng.normal(0, 0.7, (images, 1))
    low = own + rng.normal(0, 0.7, (images, tiles))
    full = 0.7 * low + rng.normal(0, 0.7, (images, tiles))
    low[:, 0] += shift
    full[:, 0] += shift
    return RouteScores(np.exp(low).ravel(), np.exp(full).ravel(), tiles=np.full(images, tiles))


CONFIG = RouterConfig()


class TestCalibration:
    @pytest.mark.parametrize("share", [None, 0.5])
    def test_new_images_are_flagged_no_more_often_than_promised_and_tiles_escalated_as_aimed_at(
        self, share: float | None
    ):
        rng = np.random.default_rng(1)
        flagged, escalated, stated, most = [], [], [], []
        for _ in range(60):
            config = RouterConfig(full_weight=share)
            policy, certificate = calibrate_tiled_policy(simulated(rng, 60, 9), OPEN, config)
            new = simulated(rng, 400, 9)
            flagged.append((new.under(policy).decisions != "PASS").mean())
            escalated.append(new.escalated_share(policy, np.ones(400, bool)))
            stated.append(certificate["flag"]["expected"])
            most.append(certificate["escalation"]["at_most"])
        assert np.mean(flagged) - 3 * np.std(flagged) / 60**0.5 <= np.mean(stated) <= 0.05
        assert 0.04 < np.mean(escalated) < np.mean(most) <= 0.0801

    def test_thresholds_from_the_highest_tile_escalated_alone_would_not_keep_it_naively(self):
        """The control: a review threshold at the same order among all *tiles* flags images far more often."""
        rng = np.random.default_rng(2)
        normal, new = simulated(rng, 400, 9), simulated(rng, 400, 9)
        policy, _ = calibrate_tiled_policy(normal, OPEN, CONFIG)
        tiles = np.sort(policy.standardise_full(normal.full))[::-1]
        naive = replace(policy, review_above=float(tiles[int(0.05 * len(tiles))]), reject_above=None)
        assert (new.under(naive).decisions != "PASS").mean() > 0.1

    def test_what_is_certified_of_labelled_defects_is_what_the_policy_does_to_them(self):
        rng = np.random.default_rng(3)
        defects = simulated(rng, 40, 9, shift=3.0)
        policy, certificate = calibrate_tiled_policy(
            simulated(rng, 200, 9), OPEN, CONFIG, simulated(rng, 200, 9, shift=2.0), defects=defects
        )
        missed = int((defects.under(policy).decisions == "PASS").sum())
        assert certificate["fnr"]["missed"] == missed
        assert certificate["sample"]["tiles"] == 1800
        assert certificate["escalation"]["unit"] == "tiles"
        assert certificate["synthetic"]["n"] == 200
        assert any("tiles" in line for line in certificate_summary(certificate))

    def test_images_of_different_sizes_calibrate_together(self):
        rng = np.random.default_rng(4)
        parts = [simulated(rng, 1, int(count)) for count in rng.integers(4, 13, 100)]
        normal = RouteScores(
            np.concatenate([one.lowres for one in parts]),
            np.concatenate([one.full for one in parts]),
            tiles=np.array([len(one.lowres) for one in parts]),
        )
        policy, certificate = calibrate_tiled_policy(normal, OPEN, CONFIG)
        assert (normal.under(policy).decisions != "PASS").mean() <= 0.05
        assert certificate["sample"]["tiles_an_image"] == [4, 12]

    @pytest.mark.parametrize("settings", [{"max_fnr": 0.1}, {"full_weight": "auto"}])
    def test_settings_that_need_one_score_an_image_are_refused(self, settings: dict[str, object]):
        normal = simulated(np.random.default_rng(5), 100, 4)
        with pytest.raises(InputError, match="looked at in tiles"):
            calibrate_tiled_policy(normal, OPEN, RouterConfig(**settings))

    def test_too_few_images_are_refused_however_many_tiles_they_have(self):
        with pytest.raises(InputError, match="too few"):
            calibrate_tiled_policy(simulated(np.random.default_rng(6), 10, 100), OPEN, CONFIG)
