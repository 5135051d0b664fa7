"""What a worker's process does around the training loop: its surroundings, its signals, its last words."""

import os
import traceback
from collections.abc import Callable

from ropewalk.runtime.addresses import interface_of, own_address
from ropewalk.stages.faults import in_one_line
from ropewalk.trainer.adapters.rank_task import RankTask
from ropewalk.trainer.adapters.worker.job import WorkerError
from ropewalk.trainer.adapters.worker.loop import run_worker
from ropewalk.trainer.adapters.worker.notice import Notice
from ropewalk.trainer.domain.recovery import Symptom


def work(task: RankTask, send: Callable[[object], None]) -> None:
    """Train. Sends reports, and a Symptom before it raises."""
    os.environ.update(_surroundings(task))
    notice = Notice()
    notice.listen()
    try:
        run_worker(task.job.localized(), task.rank, task.world_size, send, notice)
    except WorkerError as error:
        send(Symptom(kind="refused", text=str(error), rank=task.rank))
        raise
    except BaseException as error:
        traceback.print_exc()  # the whole of it is for the log of this machine
        send(Symptom(kind="raised", text=in_one_line(error), rank=task.rank))
        raise


def _surroundings(task: RankTask) -> dict[str, str]:
    """What torch, DeepSpeed and NCCL read. On one machine nobody from outside can even knock.

    On several they would look for the way out by the machine's own name, which may lead to loopback.
    """
    found = {"RANK": str(task.rank), "LOCAL_RANK": str(task.local_rank), "WORLD_SIZE": str(task.world_size)}
    interface = "lo" if task.on_one_machine else interface_of(own_address())
    return found | ({"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface} if interface else {})
