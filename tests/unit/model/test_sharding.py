"""Which rows a rank stores."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.model.sharding import gather_rows, row_range


@given(num_rows=st.integers(1, 50), world_size=st.integers(1, 9))
def test_rows_are_dealt_out_as_by_torch_chunk(num_rows, world_size):
    rows = torch.arange(num_rows)
    chunks = [chunk.tolist() for chunk in rows.chunk(world_size)]
    ours = [rows[slice(*row_range(num_rows, rank, world_size))].tolist() for rank in range(world_size)]
    assert ours == chunks + [[]] * (world_size - len(chunks))


def test_plain_tensors_are_whole_already():
    tensors = [torch.ones(2), torch.zeros(3, 1)]
    assert gather_rows(tensors, tensors) == tensors
