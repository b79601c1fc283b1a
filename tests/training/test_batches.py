"""How a pool becomes batches, shares and micro-batches: every image once, whoever does the work."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.batches import epoch_batches, hold_out, micro_batches

sizes = st.integers(1, 200)


@given(sizes, st.integers(2, 40), st.integers(0, 5))
def test_an_epoch_sees_every_image_once_in_batches_of_nearly_one_size(images, batch_size, epoch):
    rows = np.arange(images) * 3
    batches = epoch_batches(rows, batch_size, (0, epoch))
    assert sorted(np.concatenate(batches)) == rows.tolist()
    lengths = {len(batch) for batch in batches}
    assert max(lengths) <= batch_size and max(lengths) - min(lengths) <= 1


def test_the_order_is_another_one_in_each_epoch_and_the_same_when_asked_again():
    first, again, second = (epoch_batches(np.arange(40), 8, (3, epoch)) for epoch in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (np.concatenate(first) != np.concatenate(second)).any()


@given(st.integers(1, 64), st.integers(1, 4), st.integers(1, 4))
def test_processes_and_micro_batches_share_a_batch_without_overlap(images, accumulation, processes):
    batch = np.random.default_rng(0).permutation(images)
    parts = [p for r in range(processes) for p in micro_batches(batch, accumulation, r, processes)]
    assert all(map(len, parts)) and len(parts) == min(images, accumulation * processes)
    assert sorted(np.concatenate(parts)) == list(range(images))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.integers(1, 64), st.integers(1, 4))
def test_two_processes_cut_a_batch_as_one_process_with_twice_the_micro_batches(images, accumulation):
    batch = np.random.default_rng(0).permutation(images)
    two = [p.tolist() for r in (0, 1) for p in micro_batches(batch, accumulation, r, 2)]
    one = [p.tolist() for p in micro_batches(batch, 2 * accumulation)]
    assert sorted(one) == sorted(two)


@given(st.integers(2, 200), st.integers(2, 200), st.floats(0.01, 0.4), st.integers(0, 9))
def test_the_held_out_share_is_of_both_kinds_and_apart_from_what_is_learned(normal, synthetic, share, seed):
    is_normal = np.random.default_rng(1).permutation(np.arange(normal + synthetic) < normal)
    learned, held = hold_out(is_normal, share, seed)
    assert sorted(np.concatenate([learned, held])) == list(range(normal + synthetic))
    for kind, count in ((True, normal), (False, synthetic)):
        assert (is_normal[held] == kind).sum() == max(1, round(share * count))
    assert (hold_out(is_normal, share, seed)[1] == held).all()


def test_the_held_out_share_changes_with_the_seed():
    is_normal = np.ones(100, bool)
    assert (hold_out(is_normal, 0.1, 0)[1] != hold_out(is_normal, 0.1, 1)[1]).any()


def test_nothing_is_held_out_unless_asked():
    learned, held = hold_out(np.ones(10, bool), 0.0, 0)
    assert learned.tolist() == list(range(10)) and len(held) == 0
