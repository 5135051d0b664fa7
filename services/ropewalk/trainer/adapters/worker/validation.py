"""Looks at the loss on held-out windows while a run trains, and lets the model speak.

It changes nothing that training uses: not the order of samples, no random number, no weight. Windows go through the
model in pieces that do not depend on the number of ranks, so that every world size sees the same loss.
"""

import math
from collections.abc import Callable
from functools import cached_property

import torch
import torch.distributed as dist

from ropewalk.corpus.shards import ShardMeta
from ropewalk.events.foreign import cut
from ropewalk.events.training import TrainingSample, TrainingValidated
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.linear_nats import IGNORED
from ropewalk.trainer.adapters.worker.held_out import held_out_windows
from ropewalk.trainer.adapters.worker.job import WorkerJob, WorkerReport
from ropewalk.trainer.adapters.worker.preparation import Prepared
from ropewalk.trainer.domain.validation import Looks

_PIECE = 4  # windows at a time
_NEW_TOKENS = 32
_BUCKET = 64  # a piece to go on with is as long as a multiple of this: a compiler makes few kernels
_MOST_CHARS = 500


class Validation:
    """Every rank has one and calls it alike; rank 0's reports."""

    def __init__(
        self, job: WorkerJob, prepared: Prepared, meta: ShardMeta, report: Callable[[WorkerReport], None]
    ) -> None:
        self._job, self._prepared, self._meta, self._report = job, prepared, meta, report
        self._plan, self._place = job.recipe.derived, prepared.device.place
        self.looks = Looks.of_json(prepared.state.validation)

    @property
    def ended(self) -> bool:
        """Whether training stops here since the loss has not fallen for long enough."""
        return self.looks.enough(self._plan.patience)

    def why_ended(self, step: int) -> str:
        """In words, if training stopped short of its plan for that reason; else empty."""
        if not self.ended or step >= self._plan.total_steps:
            return ""
        return f"patience: no better held-out loss for {self.looks.waited} look{'s' * (self.looks.waited != 1)}"

    def is_due(self, step: int) -> bool:
        """Whether to look after `step` steps. Held-out documents may come to nothing that can be looked at."""
        every = self._plan.validate_every
        if self._job.evalset is None or self._job.is_trial or not every:
            return False
        return (step % every == 0 or step == self._plan.total_steps) and self._num_targets > 0

    def look(self, step: int) -> Looks:
        """A collective. What all looks say, with this one after `step` steps."""
        plan, job = self._plan, self._job
        self._prepared.model.eval()
        loss, samples = self._loss(), tuple(map(self._sample, plan.sample_prompts))
        self._prepared.model.train()
        self.looks = self.looks.after(step, job.epoch, loss)
        best_step, best_loss = self.looks.best_of_all
        self._report(
            TrainingValidated(
                run_id=job.run_id,
                epoch=job.epoch,
                step=step,
                loss=loss,
                best_step=best_step,
                best_loss=best_loss,
                num_tokens=self._num_targets,
                samples=samples,
            )
        )
        return self.looks

    @cached_property
    def _windows(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._job.evalset is not None, "asked for before the first look"
        return held_out_windows(self._job.evalset, self._job.tokenizer, self._meta, self._plan.validation_windows)

    @property
    def _num_targets(self) -> int:
        return int((self._windows[1] != IGNORED).sum())

    def _loss(self) -> float:
        """The mean over all targets. Rank r computes every W-th piece; all ranks go through the model equally often."""
        pieces = list(zip(*(each.split(_PIECE) for each in self._windows), strict=True))
        rank, world_size = dist.get_rank(), dist.get_world_size()
        nats = torch.zeros(len(pieces), dtype=torch.float64)
        for first in range(0, len(pieces), world_size):
            inputs, targets = pieces[min(first + rank, len(pieces) - 1)]
            found = self._prepared.strategy.score(self._place(inputs), self._place(targets))
            if first + rank < len(pieces):
                nats[first + rank] = found.double().cpu()
        dist.all_reduce(nats)  # of each number only one is not 0, so that no order of adding them matters
        return math.fsum(nats.tolist()) / max(1, self._num_targets)

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._job.tokenizer)

    def _sample(self, prompt: str) -> TrainingSample:
        """What the model goes on with, the likeliest token each time."""
        length = self._meta.context_length
        num_new = min(_NEW_TOKENS, length // 2)
        ids = self._encoder.text(prompt)[-(length - num_new) :] or [self._meta.eos_id]
        begun = len(ids)
        for _ in range(num_new):
            inputs = torch.full((1, min(length, -(-len(ids) // _BUCKET) * _BUCKET)), self._meta.eos_id)
            inputs[0, : len(ids)] = torch.tensor(ids)
            places = torch.tensor([[len(ids) - 1]])
            ids.append(int(self._prepared.strategy.score(self._place(inputs), self._place(places)).argmax()))
        said = ids[begun:]
        if self._meta.eos_id in said:
            said = said[: said.index(self._meta.eos_id)]
        text = str(self._encoder.tokenizer.decode(said, skip_special_tokens=True))
        return TrainingSample(prompt=cut(prompt, _MOST_CHARS), text=cut(text, _MOST_CHARS))
