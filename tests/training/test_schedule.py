"""The learning rate is a pure function of the step with one peak."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from training.schedule import one_cycle


@settings(deadline=None)
@given(st.integers(10, 2000), st.floats(1e-5, 1.0))
def test_rises_to_the_peak_and_falls_to_nearly_nothing(steps, peak):
    rates = [one_cycle(s, steps, peak) for s in range(steps)]
    top = max(range(steps), key=rates.__getitem__)
    assert all(0 < r <= peak * 1.001 for r in rates)
    assert top <= 0.1 * steps + 1
    assert all(a <= b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    assert rates[-1] < 0.1 * peak
