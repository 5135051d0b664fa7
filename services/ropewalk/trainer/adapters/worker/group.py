"""The process group of a worker: the caller's if there is one (Ray Train makes it), else our own on gloo."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

_TIMEOUT = timedelta(minutes=10)


@contextmanager
def joined_group(rank: int, world_size: int) -> Iterator[None]:
    """Be part of a group of `world_size`; one thread per rank, since more change the bits and spin on shared cores.

    Without a group and with several ranks, torch reads MASTER_ADDR and MASTER_PORT from the environment.
    """
    torch.set_num_threads(1)
    if dist.is_initialized():
        yield
        return
    store = dist.HashStore() if world_size == 1 else None
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=_TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()


def total(values: list[float]) -> list[float]:
    """The sums over all ranks, in double precision; one collective. Not-a-number on one rank is so on all."""
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor)
    return [float(value) for value in tensor]
