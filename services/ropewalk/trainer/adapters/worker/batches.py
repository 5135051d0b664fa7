"""What each rank reads in each step, as tensors."""

from dataclasses import dataclass

import numpy as np
import torch

from ropewalk.corpus.order import SampleOrder
from ropewalk.corpus.shards import TokenShard
from ropewalk.model.next_token import IGNORED
from ropewalk.trainer.adapters.worker.job import WorkerError, WorkerJob

_MICRO_BATCH_TOKENS = 8192  # bounds the memory of the logits


@dataclass(frozen=True)
class StepBatch:
    """One rank's part of a step. `parts` are micro-batches of (inputs, targets), each (b, C) int64."""

    samples: tuple[int, ...]
    parts: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    num_targets: int  # that count in the loss, over all ranks
    num_tokens: int  # over all ranks


class Batches:
    """Reads the windows of a step: a pure function of (dataset version, seed, step, rank, world size)."""

    def __init__(self, shard: TokenShard, job: WorkerJob, rank: int, world_size: int) -> None:
        self._shard = shard
        self._batch_size = job.recipe.derived.batch_size
        self._order = SampleOrder(job.dataset_version, job.recipe.seed, shard.num_windows)
        self._rank, self._world_size = rank, world_size
        _check(shard, job, world_size)

    def read(self, step: int) -> StepBatch:
        """The batch of 0-based `step`."""
        everyone = self._order.samples(step, self._batch_size)
        mine = everyone[self._rank :: self._world_size]
        windows = [self._shard.window(sample) for sample in mine]
        length = self._shard.meta.context_length
        inputs = torch.from_numpy(np.stack([window.inputs for window in windows]))
        targets = torch.from_numpy(np.stack([np.where(window.mask, window.targets, IGNORED) for window in windows]))
        num_parts = self._num_parts(length)
        return StepBatch(
            samples=tuple(mine),
            parts=tuple(zip(inputs.tensor_split(num_parts), targets.tensor_split(num_parts), strict=True)),
            num_targets=self._num_targets(everyone),
            num_tokens=self._batch_size * length,
        )

    def _num_parts(self, length: int) -> int:
        """The same on every rank, since each part is a collective, though ranks may differ by one window."""
        most, fewest = -(-self._batch_size // self._world_size), self._batch_size // self._world_size
        return min(fewest, -(-most * length // _MICRO_BATCH_TOKENS))

    def _num_targets(self, everyone: list[int]) -> int:
        """Every rank counts for itself: reading the masks of the others is cheaper than a collective."""
        if not self._shard.meta.has_mask:
            return len(everyone) * self._shard.meta.context_length
        return max(1, sum(int(self._shard.window(sample).mask.sum()) for sample in everyone))


def _check(shard: TokenShard, job: WorkerJob, world_size: int) -> None:
    batch_size = job.recipe.derived.batch_size
    if shard.num_windows < batch_size:
        raise WorkerError(
            f"the dataset has {shard.num_windows} windows of {shard.meta.context_length} tokens, fewer than one batch "
            f"of {batch_size}: add more text or choose a smaller size"
        )
    if batch_size < world_size:
        raise WorkerError(
            f"a batch of {batch_size} windows cannot be shared by {world_size} workers: "
            f"set num_workers to {batch_size} or less"
        )
