"""Real processes on this machine that form one gloo group, below Ray, for benchmarks of training."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any


def on_ranks(work: Callable[..., Any], world_size: int, *given: object) -> Any:
    """What `work(rank, world_size, *given)` returned on rank 0. Raises RuntimeError if a process failed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.SimpleQueue()
    ranks = [
        spawn.Process(target=_rank, args=(work, rank, world_size, port, given, answers)) for rank in range(world_size)
    ]
    for process in ranks:
        process.start()
    answer = None if _failed(ranks, answers) else answers.get()
    for process in ranks:
        process.join()
    if any(process.exitcode for process in ranks):
        raise RuntimeError(f"a rank of {world_size} failed; its words are above")
    return answer


def _failed(ranks: list[Any], answers: Any) -> bool:
    """Wait for the answer or for a process that fails; ends the others then."""
    while answers.empty():
        for process in ranks:
            process.join(0.05)
            if process.exitcode:
                for other in ranks:
                    other.kill()
                return True
    return False


def _rank(
    work: Callable[..., Any], rank: int, world_size: int, port: int, given: tuple[object, ...], answers: Any
) -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "DS_ACCELERATOR": "cpu",
        "DS_BUILD_OPS": "0",
    }
    import torch.distributed as dist

    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    answer = work(rank, world_size, *given)
    dist.barrier()
    dist.destroy_process_group()
    if rank == 0:
        answers.put(answer)
