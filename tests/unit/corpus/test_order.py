"""The sample order is a permutation per pass and a pure function of (dataset version, seed, step)."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.corpus.order import SampleOrder

sizes = st.integers(min_value=1, max_value=700)
seeds = st.integers(min_value=-(2**40), max_value=2**40)


@settings(max_examples=40, deadline=None)
@given(num_windows=sizes, seed=seeds, data_epoch=st.integers(0, 10_000))
def test_every_pass_reads_every_window_once(num_windows: int, seed: int, data_epoch: int) -> None:
    order = SampleOrder("v", seed, num_windows)
    assert sorted(order.indices(data_epoch * num_windows, num_windows)) == list(range(num_windows))


@settings(max_examples=40, deadline=None)
@given(num_windows=sizes, seed=seeds, batch_size=st.integers(1, 64), step=st.integers(0, 500))
def test_a_step_reads_its_slice_of_the_sequence_whatever_was_read_before(
    num_windows: int, seed: int, batch_size: int, step: int
) -> None:
    order = SampleOrder("v", seed, num_windows)
    alone = order.samples(step, batch_size)
    one_by_one = [order.indices(place, 1)[0] for place in range(step * batch_size, (step + 1) * batch_size)]
    assert alone == one_by_one


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_the_ranks_together_read_the_batch_of_one_worker(world_size: int) -> None:
    order = SampleOrder("v", 17, 101)
    for step in range(40):
        batch = order.samples(step, 12)
        assert Counter(index for rank in range(world_size) for index in batch[rank::world_size]) == Counter(batch)


def test_passes_seeds_and_dataset_versions_have_different_orders() -> None:
    orders = [
        SampleOrder("v", 17, 500).indices(0, 500),
        SampleOrder("v", 17, 500).indices(500, 500),
        SampleOrder("v", 18, 500).indices(0, 500),
        SampleOrder("w", 17, 500).indices(0, 500),
    ]
    assert len({tuple(order) for order in orders}) == 4
    assert tuple(range(500)) not in {tuple(order) for order in orders}


def test_the_order_never_changes_between_releases() -> None:
    assert SampleOrder("d41d8cd98f00", 17, 1000).samples(3, 8) == [49, 99, 271, 616, 55, 813, 637, 855]


def test_an_empty_dataset_has_no_order() -> None:
    with pytest.raises(ValueError, match="at least one window"):
        SampleOrder("v", 17, 0)


def test_neighbours_in_the_order_are_not_neighbours_in_the_data() -> None:
    indices = SampleOrder("v", 3, 10_000).indices(0, 10_000)
    steps = [abs(after - before) for before, after in itertools.pairwise(indices)]
    mean_step = sum(steps) / len(steps)
    assert 3_200 < mean_step < 3_470  # a uniform permutation of n has n/3; the band is 5 standard errors wide
