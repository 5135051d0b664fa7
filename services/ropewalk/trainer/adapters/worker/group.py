"""The process group of a worker: the caller's if there is one, else our own."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist

from ropewalk.trainer.adapters.worker.device import Device

_TIMEOUT = timedelta(minutes=10)


@contextmanager
def joined_group(rank: int, world_size: int, device: Device, rendezvous: str = "") -> Iterator[None]:
    """Be part of a group of `world_size` on this device.

    Without a group, several ranks meet at `rendezvous` (an `init_method` of torch); if that is empty, where
    MASTER_ADDR and MASTER_PORT in the environment say.
    """
    device.begin()
    if dist.is_initialized():
        yield
        return
    store = dist.HashStore() if world_size == 1 else None
    dist.init_process_group(
        device.backend,
        init_method=rendezvous if rendezvous and world_size > 1 else None,
        store=store,
        rank=rank,
        world_size=world_size,
        timeout=_TIMEOUT,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def leave() -> NoReturn:
    """Close the group and end this process as done, without the interpreter's own end.

    A thread of gloo may still hold a tensor that belongs to Python; when it lets go while the interpreter is taken
    down, the process aborts, and a finished rank counts as a failed one (pytorch/pytorch#179291).
    """
    dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def total(computed: Sequence[torch.Tensor], known: Sequence[float] = ()) -> list[float]:
    """The sums over all ranks of numbers on any device and of plain ones, in double precision; one collective.

    The only place in a step where this process waits for the device. Not-a-number on one rank is so on all.
    """
    values = [*(float(value) for value in computed), *known]
    if dist.get_world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor)
    return list(map(float, tensor.tolist()))
