"""Latency: what is called, on what, with how many threads; never how fast this machine is."""

import pytest
import torch

from eval.latency import Latency, measure_latency, one_thread
from wafer_data.errors import InputError


@pytest.fixture(autouse=True)
def threads_as_before():
    """Other tests of this process train with as many threads as ever: their results are compared bit by bit."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_summary_of_known_times():
    latency = Latency.of([float(ms) for ms in range(1, 102)])
    assert (latency.mean, latency.p50, latency.p99, latency.runs) == (51.0, 51.0, 100.0, 101)


def test_inputs_are_taken_in_turn_and_warm_up_calls_are_not_counted():
    seen: list[str] = []
    latency = measure_latency(seen.append, ["a", "b", "c"], warmup=2, runs=4)
    assert seen == ["a", "b", "a", "b", "c", "a"]
    assert latency.runs == 4
    assert 0 < latency.p50 <= latency.p99


def test_calls_run_on_one_thread_and_the_setting_is_restored():
    torch.set_num_threads(2)
    threads: list[int] = []
    measure_latency(lambda _: threads.append(torch.get_num_threads()), [0], warmup=0, runs=1)
    assert threads == [1]
    assert torch.get_num_threads() == 2


def test_the_setting_is_restored_after_a_failure():
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert torch.get_num_threads() == 2


def test_nothing_to_measure_is_an_error():
    with pytest.raises(InputError, match="at least one input"):
        measure_latency(print, [])
    with pytest.raises(InputError, match="no latency"):
        Latency.of([])
