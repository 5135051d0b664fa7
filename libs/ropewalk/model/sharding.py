"""Whole tensors from row shards and back, with one collective for many tensors.

FSDP2 keeps every parameter as a DTensor split by rows over a one-dimensional mesh. `full_tensor()` gathers one at a
time; small models spend more on the collectives than on the bytes, so here all shards travel in one flat buffer.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether each rank stores a part of it."""
    return isinstance(tensor, DTensor)


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """The part of `tensor` that this rank stores, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def my_rows(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The rows of `whole` that this rank stores of `like`."""
    if not isinstance(like, DTensor):
        return whole
    mesh = like.device_mesh
    first, last = row_range(whole.shape[0], mesh.get_local_rank(), mesh.size())
    return whole[first:last]


def row_range(num_rows: int, rank: int, world_size: int) -> tuple[int, int]:
    """The half-open range of rows that rank stores: `torch.chunk`, the rule of Shard(0)."""
    per_rank = -(-num_rows // world_size)
    return min(rank * per_rank, num_rows), min((rank + 1) * per_rank, num_rows)


def gather_rows(shards: Sequence[torch.Tensor], like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Whole tensors from this rank's `shards`, whose layout is that of `like`. A collective if `like` is sharded.

    Plain tensors come back as they are, not copied.
    """
    if not like or not isinstance(like[0], DTensor):
        return list(shards)
    mesh = like[0].device_mesh
    world_size = mesh.size()
    flat = _padded([shard.reshape(-1) for shard in shards], _most_elements(like, world_size))
    everyone = flat.new_empty(world_size * flat.numel())
    dist.all_gather_single(everyone, flat, group=mesh.get_group())
    pieces: list[list[torch.Tensor]] = [[] for _ in like]
    for rank, buffer in enumerate(everyone.chunk(world_size)):
        offset = 0
        for index, tensor in enumerate(like):
            first, last = row_range(tensor.shape[0], rank, world_size)
            rest = tensor.shape[1:]
            count = (last - first) * rest.numel()
            pieces[index].append(buffer[offset : offset + count].view(last - first, *rest))
            offset += count
    return [torch.cat(parts) for parts in pieces]


def _most_elements(like: Sequence[torch.Tensor], world_size: int) -> int:
    """Rank 0 holds the most rows of every tensor."""
    return sum(row_range(tensor.shape[0], 0, world_size)[1] * tensor.shape[1:].numel() for tensor in like)


def _padded(parts: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    flat = torch.cat(list(parts))
    return flat if flat.numel() == size else torch.nn.functional.pad(flat, (0, size - flat.numel()))
