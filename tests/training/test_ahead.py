"""Work made ahead by threads: in order, never far ahead, errors in their turn."""

import threading
import time

import pytest
import torch

from training.ahead import GPU_THREADS, ahead, threads_for


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_items_come_in_order_whoever_is_ready_first(threads):
    def slow_at_first(item):
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert list(ahead(slow_at_first, range(20), threads)) == [item * item for item in range(20)]


def test_memory_is_bounded_two_items_a_thread_are_made_ahead_and_no_more():
    begun = []
    stream = ahead(lambda item: begun.append(item) or item, range(100), 2)
    assert next(stream) == 0
    time.sleep(0.05)
    assert len(begun) <= 2 * 2 + 1
    stream.close()
    assert len(begun) < 100


def test_without_threads_nothing_is_made_before_it_is_asked_for():
    begun = []
    stream = ahead(lambda item: begun.append(threading.current_thread()) or item, range(3), 0)
    assert begun == []
    next(stream)
    assert begun == [threading.main_thread()]


@pytest.mark.parametrize("threads", [0, 3])
def test_an_error_comes_at_its_item(threads):
    def make(item):
        if item == 5:
            raise OSError("disk gone")
        return item

    stream = ahead(make, range(10), threads)
    assert [next(stream) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="disk gone"):
        next(stream)


def test_threads_work_beside_a_gpu_only():
    assert threads_for(torch.device("cpu")) == 0
    assert threads_for(torch.device("cuda")) == GPU_THREADS
