"""Which rows a rank stores."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.model.sharding import TensorLayout, end_to_end, gather


@given(num_rows=st.integers(1, 50), world_size=st.integers(1, 9))
def test_rows_are_dealt_out_as_by_torch_chunk(num_rows, world_size):
    rows = torch.arange(num_rows)
    chunks = [chunk.tolist() for chunk in rows.chunk(world_size)]
    (runs,) = end_to_end([num_rows], -(-num_rows // world_size), world_size)
    ours = [rows[first:last].tolist() for first, last in runs]
    assert ours == chunks + [[]] * (world_size - len(chunks))


def test_plain_tensors_are_whole_already():
    tensors = [torch.ones(2), torch.zeros(3, 1)]
    assert gather(tensors, [TensorLayout(shape=tensor.shape) for tensor in tensors]) == tensors


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), world_size=st.integers(1, 5))
def test_tensors_end_to_end_are_cut_into_equal_parts(counts, world_size):
    size = -(-sum(counts) // world_size)
    row = [(index, element) for index, count in enumerate(counts) for element in range(count)]
    runs = end_to_end(counts, size, world_size)
    for rank in range(world_size):
        mine = [(index, each) for index, of_ranks in enumerate(runs) for each in range(*of_ranks[rank])]
        assert mine == row[rank * size : (rank + 1) * size]
