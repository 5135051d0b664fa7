"""What each rank reads in each step, as tensors."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ropewalk.corpus.mixture import MixedOrder, MixtureError, mixed_order
from ropewalk.corpus.order import SampleOrder
from ropewalk.corpus.shards import ShardMeta, TokenShard
from ropewalk.model.linear_nats import IGNORED
from ropewalk.trainer.adapters.worker.device import Device
from ropewalk.trainer.adapters.worker.job import WorkerError, WorkerJob
from ropewalk.trainer.adapters.worker.micro_batch import CPU_TOKENS

_BLOCK = 4096  # samples
_Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class StepBatch:
    """One rank's part of a step. `parts` are micro-batches of (inputs, targets), each (b, C) int64.

    Where attention stays within a document, inputs are (b, C, 2): beside each token its place in its document. Where
    the objective is told another model's opinion, its ids and log-probabilities follow, (b, C, k) and (b, C, k + 1).
    """

    samples: tuple[int, ...]
    parts: tuple[tuple[torch.Tensor, ...], ...]
    num_targets: int  # that count in the loss, over all ranks; of preferences the pairs
    num_tokens: int  # over all ranks
    is_void: bool = False  # all its samples, on all ranks, are left out


class Batches:
    """Reads the windows of a step: a pure function of (dataset version, seed, step, rank, world size).

    Beside a GPU the next step is read while this one is computed.
    """

    def __init__(self, shard: TokenShard, job: WorkerJob, rank: int, world_size: int, device: Device) -> None:
        self._shard = shard
        self._batch_size = job.recipe.derived.batch_size
        self._with_positions = job.recipe.derived.document_masks
        self._objective = job.recipe.derived.objective
        self._order = _order(shard, job)
        self._rank, self._world_size, self._device = rank, world_size, device
        self._thread = ThreadPoolExecutor(1, "batches") if device.is_accelerator else None
        self._next: tuple[int, Future[StepBatch]] | None = None
        self._block: tuple[int, list[int]] = -1, []
        self.micro_tokens = CPU_TOKENS
        self.left_out: frozenset[int] = frozenset()  # samples of which nothing is read: they end processes
        _check(shard, job, world_size)

    def read(self, step: int) -> StepBatch:
        """The batch of 0-based `step`."""
        if self._thread is None:
            return self._read(step)
        ready = self._next[1].result() if self._next is not None and self._next[0] == step else self._read(step)
        self._next = step + 1, self._thread.submit(self._read, step + 1)
        return ready

    @property
    def meta(self) -> ShardMeta:
        """Of the dataset."""
        return self._shard.meta

    def mine(self, step: int) -> list[int]:
        """The samples of this rank."""
        return self._everyone(step)[self._rank :: self._world_size]

    def window(self, sample: int) -> tuple[_Tokens, _Tokens]:
        """Inputs and targets of the shapes of a batch's. Those of a sample that is left out do not count."""
        window = self._shard.window(sample)
        inputs = window.inputs
        if self._with_positions:
            inputs = np.stack((inputs, self._shard.positions(sample)), axis=-1)
        if sample in self.left_out:
            return np.zeros_like(inputs), np.full_like(window.targets, IGNORED)
        return inputs, np.where(window.mask, window.targets, IGNORED)

    def beside(self, sample: int) -> tuple[NDArray[Any], ...]:
        """What the objective is told of a sample; nothing where only the next token counts."""
        if self._objective == "sft":
            return ()
        ids, logprobs = self._shard.references(sample)
        return ids.astype(np.int64), logprobs

    def close(self) -> None:
        """Read no further ahead."""
        if self._thread is not None:
            self._thread.shutdown()

    def _read(self, step: int) -> StepBatch:
        everyone, mine = self._everyone(step), self.mine(step)
        length = self._shard.meta.context_length
        read = ((*self.window(sample), *self.beside(sample)) for sample in mine)
        columns = [torch.from_numpy(np.stack(each)) for each in zip(*read, strict=True)]
        pieces = [self._device.pinned(each).tensor_split(self._num_parts(length)) for each in columns]
        return StepBatch(
            samples=tuple(mine),
            parts=tuple(zip(*pieces, strict=True)),
            num_targets=self._num_targets(everyone),
            num_tokens=self._batch_size * length,
            is_void=self.left_out.issuperset(everyone),
        )

    def _everyone(self, step: int) -> list[int]:
        """The samples of a step, over all ranks. Asked for by blocks: those of one step alone take about as long."""
        num_steps = max(1, _BLOCK // self._batch_size)
        block, place = divmod(step, num_steps)
        if self._block[0] != block:
            count = num_steps * self._batch_size
            self._block = block, self._order.indices(block * count, count)
        return self._block[1][place * self._batch_size : (place + 1) * self._batch_size]

    def _num_parts(self, length: int) -> int:
        """The same on every rank, since each part is a collective, though ranks may differ by one window.

        Parts of one size if a few more make that possible: every new size is compiled anew.
        """
        most, fewest = -(-self._batch_size // self._world_size), self._batch_size // self._world_size
        least = min(fewest, -(-most * length // self.micro_tokens))
        alike = (count for count in range(least, 2 * least) if most % count == 0 == fewest % count)
        return next(alike, least)

    def _num_targets(self, everyone: list[int]) -> int:
        """Every rank counts for itself: reading the masks of the others is cheaper than a collective."""
        counting = [sample for sample in everyone if sample not in self.left_out]
        if self._objective == "dpo":
            return max(1, sum(np.count_nonzero(self._shard.positions(sample) == 0) // 2 for sample in counting))
        if not self._shard.meta.has_mask:
            return max(1, len(counting) * self._shard.meta.context_length)
        return max(1, sum(int(self._shard.window(sample).mask.sum()) for sample in counting))


def _order(shard: TokenShard, job: WorkerJob) -> SampleOrder | MixedOrder:
    if not job.recipe.has_mixture:
        return SampleOrder(job.dataset_version, job.recipe.seed, shard.num_windows)
    try:
        return mixed_order(job.recipe, shard.folder, shard.meta)
    except MixtureError as error:
        raise WorkerError(str(error)) from None


def _check(shard: TokenShard, job: WorkerJob, world_size: int) -> None:
    batch_size = job.recipe.derived.batch_size
    if shard.num_windows < batch_size:
        raise WorkerError(
            f"the dataset has {shard.num_windows} windows of {shard.meta.context_length} tokens, fewer than one batch "
            f"of {batch_size}: add more text or choose a smaller size"
        )
    if job.recipe.derived.objective != "sft" and not shard.has_references:
        raise WorkerError(
            f"training.objective is {job.recipe.derived.objective!r}, but in this dataset no other model was asked "
            "about the answers: submit the recipe again, so that its own dataset is made"
        )
    if batch_size < world_size:
        raise WorkerError(
            f"a batch of {batch_size} windows cannot be shared by {world_size} workers: "
            f"set num_workers to {batch_size} or less"
        )
