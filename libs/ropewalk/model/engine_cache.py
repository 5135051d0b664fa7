"""The memory of keys and values, of which only the positions that are in use take any.

It is mapped, not allocated: the system gives a page when it is first written, and takes the pages of a slot back when
its request ends. So a context of 8,192 tokens in 16 slots costs what the running requests have read and written.
"""

import mmap

import torch
from torch import Tensor

_FLOAT_BYTES = 4


class MappedCache:
    """A float32 tensor `values` of the shape (L, S, H, T, D), zeros at first. A slot is the second index."""

    def __init__(self, num_layers: int, num_slots: int, num_heads: int, length: int, width: int) -> None:
        self._slot_bytes = num_heads * length * width * _FLOAT_BYTES  # of one layer
        self._memory = mmap.mmap(-1, num_layers * num_slots * self._slot_bytes, flags=mmap.MAP_PRIVATE)
        flat = torch.frombuffer(self._memory, dtype=torch.float32)
        self.values: Tensor = flat.view(num_layers, num_slots, num_heads, length, width)

    def release(self, slot: int) -> None:
        """Give the memory of a slot back, but for pages that it shares with its neighbours; it holds no sense then."""
        num_layers, num_slots = self.values.shape[:2]
        for layer in range(num_layers):
            begin = (layer * num_slots + slot) * self._slot_bytes
            first, last = -(-begin // mmap.PAGESIZE), (begin + self._slot_bytes) // mmap.PAGESIZE
            if last > first:
                self._memory.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE)
