"""One image, one route: whatever batch it comes in, wherever it stands there, and on however many threads."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from router.gate import FIGURES, QualityGate
from router.policy import RoutingPolicy

score = st.floats(0.0, 64.0, width=32)


def routed(policy: RoutingPolicy, lowres: np.ndarray, full: np.ndarray) -> list[tuple[bool, str, float]]:
    escalated = policy.escalate(lowres)
    scores = policy.routed_score(lowres, np.where(escalated, full, np.nan))
    decisions = policy.decide(scores, escalated)
    return list(
        zip(escalated.tolist(), decisions.tolist(), np.nan_to_num(scores, nan=-1).tolist(), strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(
    images=st.lists(st.tuples(score, score), min_size=1, max_size=70),
    order=st.randoms(use_true_random=False),
    batch=st.integers(1, 70),
    threads=st.integers(1, 8),
    weight=st.sampled_from([0.0, 0.3, 1.0]),
    type_=st.sampled_from([np.float32, np.float64]),
)
def test_the_same_image_takes_the_same_route_in_any_batch_on_any_number_of_threads(
    images: list[tuple[float, float]],
    order: random.Random,
    batch: int,
    threads: int,
    weight: float,
    type_: type,
) -> None:
    lowres, full = np.array(images, dtype=type_).T
    gate = QualityGate(dict.fromkeys(FIGURES, (0.0, 1.0)), 10)
    # Thresholds that lie exactly on scores of some of the images: a last bit would decide.
    exact = np.log(np.maximum(lowres[0], 2**-10, dtype=np.float64))
    policy = RoutingPolicy(
        lowres_location=0.1,
        lowres_scale=0.7,
        full_location=-0.2,
        full_scale=0.3,
        full_weight=weight,
        escalate_above=float((exact - 0.1) / 0.7),
        review_above=0.5,
        reject_above=2.0,
        gate=gate,
    )
    alone = [routed(policy, lowres[i : i + 1], full[i : i + 1])[0] for i in range(len(images))]
    places = list(range(len(images)))
    order.shuffle(places)
    parts = [places[i : i + batch] for i in range(0, len(places), batch)]
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda part: routed(policy, lowres[part], full[part]), parts))
    together = [row for rows in found for row in rows]
    assert together == [alone[i] for i in places]
