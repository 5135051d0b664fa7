"""The training loop: read, forward, backward, decide, update, report, save. The same code on every rank."""

import hashlib
import os
from collections import deque
from collections.abc import Callable
from statistics import fmean

import torch
import torch.distributed as dist

from ropewalk.corpus.shards import TokenShard
from ropewalk.events.training import StepSkipped
from ropewalk.trainer.adapters.worker.batches import Batches, StepBatch
from ropewalk.trainer.adapters.worker.device import choose_device
from ropewalk.trainer.adapters.worker.flops import yardstick_of
from ropewalk.trainer.adapters.worker.group import joined_group, total
from ropewalk.trainer.adapters.worker.guard import MAX_SKIPS_IN_A_ROW, StepGuard
from ropewalk.trainer.adapters.worker.job import (
    Finished,
    Started,
    StepLoss,
    WorkerError,
    WorkerJob,
    WorkerReport,
)
from ropewalk.trainer.adapters.worker.notice import Notice
from ropewalk.trainer.adapters.worker.phases import Phase, Phases
from ropewalk.trainer.adapters.worker.preparation import Prepared, prepare
from ropewalk.trainer.adapters.worker.progress import Reporter, step_row
from ropewalk.trainer.adapters.worker.saving import Saving
from ropewalk.trainer.adapters.worker.strategy import apply_clipped
from ropewalk.trainer.adapters.worker.validation import Validation
from ropewalk.trainer.adapters.worker.watched import watched_phases
from ropewalk.trainer.domain.goodput import Yardstick

_RECENT = 20


def run_worker(
    job: WorkerJob,
    rank: int,
    world_size: int,
    report: Callable[[WorkerReport], None],
    notice: Notice | None = None,
) -> None:
    """Train. Called in every worker with its rank; only rank 0 reports, always from the calling thread.

    Uses the process group of the caller if there is one; else makes one (see `joined_group`). DeepSpeed also wants
    LOCAL_RANK in the environment, as torchrun sets it. On `notice` all ranks save after the step they are in, and
    leave. Raises WorkerError when going on makes no sense; its text is for the user.
    """
    phases = watched_phases(job, rank)
    device = choose_device(job.recipe, rank)
    with joined_group(rank, world_size, device, job.rendezvous):
        quiet = report if rank == 0 else _say_nothing
        phases.enter("load")
        shard = TokenShard(job.dataset)
        batches = Batches(shard, job, rank, world_size, device)
        prepared = prepare(job, shard, device)
        batches.micro_tokens = prepared.state.micro_tokens
        try:
            _Training(job, prepared, batches, phases, quiet).run(notice or Notice())
        finally:
            batches.close()


def _say_nothing(_: WorkerReport) -> None:
    """What the other ranks report."""


class _Training:
    def __init__(
        self,
        job: WorkerJob,
        prepared: Prepared,
        batches: Batches,
        phases: Phases,
        report: Callable[[WorkerReport], None],
    ) -> None:
        self._job, self._plan, self._batches = job, job.recipe.derived, batches
        self._reporter = Reporter(report)
        self._report = self._reporter.say
        self._strategy, self._schedule = prepared.strategy, prepared.schedule
        self._prepared, self._device, self._phases = prepared, prepared.device, phases
        self._guard = StepGuard()
        self._guard.restore(prepared.state.guard)
        self._recent = deque(prepared.state.recent_losses, maxlen=_RECENT)
        self._saving = Saving(job, prepared, self._guard, self._recent, self._report)
        self._stop_asked = self._leaving = False
        self._notice = Notice()
        self._computing: Phase = "compile" if self._device.is_accelerator else "step"  # the first step compiles
        self._validation = Validation(job, prepared, batches.meta, self._report)

    def run(self, notice: Notice) -> None:
        """From the first step to the report that it is finished."""
        self._notice = notice
        pids: list[int] = [0] * dist.get_world_size()
        dist.all_gather_object(pids, os.getpid())
        self._report(
            Started(
                worker_pids=tuple(pids),
                resume_step=self._prepared.state.step,
                num_parameters=self._prepared.num_parameters,
                device=self._device.description,
                resumed_checkpoint_id=self._prepared.checkpoint_id,
                yardstick=self._yardstick(),
            )
        )
        self._phases.take()
        try:
            self._run_steps()
        finally:
            self._saving.close()

    def _yardstick(self) -> Yardstick:
        """Measured where somebody will read it: by rank 0 of a run."""
        if self._job.is_trial or dist.get_rank() != 0:
            return Yardstick()
        return yardstick_of(self._device, self._prepared.flops_per_token)

    def _run_steps(self) -> None:
        done = self._prepared.state.step
        while done < self._job.total_steps and not (self._stop_asked or self._leaving or self._validation.ended):
            self._take_step(done)
            done += 1
        self._phases.enter("save")
        checkpoint_id, uri = ("", "") if self._job.is_trial else self._saving.save_last(done)
        step = done
        if self._plan.patience and (best := self._saving.better_than_last(done, self._validation.looks)):
            step, checkpoint_id, uri = best.step, best.checkpoint_id, best.key
        self._report(
            Finished(
                step=step,
                loss=fmean(self._recent) if self._recent else float("nan"),
                tokens=self._saving.tokens,
                seconds=self._phases.elapsed_s,
                stopped=self._stop_asked and done < self._job.total_steps,
                left=self._leaving and not self._stop_asked and done < self._job.total_steps,
                checkpoint_id=checkpoint_id,
                uri=uri,
                spent=self._phases.take(),
                num_steps=done,
            )
        )

    def _take_step(self, step: int) -> None:
        self._phases.enter("data", step)
        self._device.seed(_step_seed(self._job.recipe.seed, step, dist.get_rank()))
        batch = self._batches.read(step)
        self._phases.enter(self._computing)
        share = self._accumulate(batch)
        asked = (dist.get_rank() == 0 and self._job.stops_after(step), self._notice.given)
        shares = [share, self._strategy.squared_norm_share(), *map(torch.tensor, asked), *self._waits()]
        loss, squared_norm, stops, leaves, *waits = total(shares)
        norm = squared_norm**0.5
        self._stop_asked, self._leaving = stops > 0, leaves > 0
        scale = self._schedule.scale(step)
        self._update(step, loss, norm, scale)
        self._saving.consumed(step, batch)
        if self._job.is_trial:
            self._report(StepLoss(step=step, loss=loss))
            return
        self._computing = "step"
        row = step_row(
            self._phases.take(),
            max(waits),
            attempt=self._job.attempt,
            step=step,
            loss=loss,
            grad_norm=norm,
            lr=self._job.matrix_lr * scale,
            tokens=batch.num_tokens,
            saving=self._saving.is_flying,
        )
        self._reporter.add(row)
        self._saving.measured(row)
        is_best = self._look(step + 1)
        self._phases.enter("save")
        is_due = (step + 1) % self._plan.checkpoint_every == 0 or is_best
        if is_due and step + 1 < self._job.total_steps:
            self._saving.save(step + 1)
        self._saving.report_landed()

    def _waits(self) -> list[torch.Tensor]:
        """How long each rank waited for the data of this step, in seconds: this rank's own, 0 for the others."""
        waits = torch.zeros(dist.get_world_size(), dtype=torch.float64)
        waits[dist.get_rank()] = self._phases.so_far("data")
        return list(waits)

    def _look(self, done: int) -> bool:
        """At the loss on held-out windows, if it is time. Whether these weights are the best up to now."""
        if not self._validation.is_due(done):
            return False
        self._phases.enter("evaluate")
        looks = self._validation.look(done)
        self._saving.looked(looks)
        return looks.is_best(done)

    def _accumulate(self, batch: StepBatch) -> torch.Tensor:
        """Gradients of the mean over the global batch; returns this rank's share of that mean, in nats.

        Nothing here waits for the device: the share is a number on it.
        """
        world_size, place = dist.get_world_size(), self._device.place
        share = place(torch.zeros((), dtype=torch.float64))
        for number, (inputs, targets) in enumerate(batch.parts, start=1):
            nats = self._strategy.nats(place(inputs), place(targets), last=number == len(batch.parts))
            mean = nats / batch.num_targets
            self._strategy.backward(mean * world_size)  # the ranks' gradients are averaged, not summed
            share += mean.detach()
        return share

    def _update(self, step: int, loss: float, norm: float, scale: float) -> None:
        """Apply the gradients unless the guard objects. All ranks see the same numbers and decide the same."""
        reason = self._guard.reason_to_skip(loss, norm)
        if not reason:
            apply_clipped(self._strategy, norm=norm, limit=self._plan.grad_clip, rate_scale=scale)
            self._recent.append(loss)
            return
        self._strategy.discard()
        self._saving.skipped(step)
        self._report(StepSkipped(run_id=self._job.run_id, epoch=self._job.epoch, step=step, reason=reason))
        if self._guard.gives_up:
            raise WorkerError(
                f"{MAX_SKIPS_IN_A_ROW} updates in a row could not be applied, the last (step {step}) because {reason}: "
                "lower the learning rates or look at the samples of these steps in the ledger"
            )


def _step_seed(seed: int, step: int, rank: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")
