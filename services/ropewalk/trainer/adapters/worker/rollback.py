"""Going back to the newest checkpoint in the running process, on all ranks at once. Nothing is started anew."""

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.distributed as dist

from ropewalk.model.sharding import local_part
from ropewalk.model.weights import largest
from ropewalk.storage.manifest import verify
from ropewalk.trainer.adapters.worker.job import WorkerJob
from ropewalk.trainer.errors import TrainingError


class BadWeightsError(TrainingError, ArithmeticError):
    """The weights are not worth another step. Raised on every rank at the same place; `step` is where it was seen."""

    def __init__(self, step: int, reason: str) -> None:
        super().__init__(reason)
        self.step, self.reason = step, reason


def rolled_back(job: WorkerJob, newest_key: str) -> WorkerJob:
    """The job that begins at the checkpoint of rank 0's `newest_key`; from scratch if it is empty. A collective.

    Raises ManifestError, ObjectNotFoundError if it is not there any more: the next attempt looks for another.
    """
    keys = [newest_key]
    dist.broadcast_object_list(keys)
    if not keys[0]:
        return replace(job, resume_from=None, suspects=())
    folder = job.store.connect().fetch(keys[0])
    verify(folder)
    return replace(job, resume_from=folder, suspects=())  # found by now


def look_at(weights: Mapping[str, torch.Tensor], reach: float) -> str:
    """What is wrong with the weights on any rank, in words; empty: nothing. A collective, for odd steps only."""
    value, name = largest({name: local_part(tensor) for name, tensor in weights.items()}, reach)
    found = [""] * dist.get_world_size()
    dist.all_gather_object(found, f"the weight {name} holds {value:.4g}" if name else "")
    return next((words for words in found if words), "")
