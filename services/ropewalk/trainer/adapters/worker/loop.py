"""The training loop: read, forward, backward, decide, update, report, save. The same code on every rank."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import NoReturn

import torch
import torch.distributed as dist

from ropewalk.corpus.shards import TokenShard
from ropewalk.events.training import SamplesLeftOut, StepSkipped, TrainingRolledBack
from ropewalk.trainer.adapters.worker.batches import Batches, StepBatch
from ropewalk.trainer.adapters.worker.device import Device, choose_device
from ropewalk.trainer.adapters.worker.flops import yardstick_of
from ropewalk.trainer.adapters.worker.group import joined_group, total
from ropewalk.trainer.adapters.worker.job import (
    Finished,
    Started,
    StepLoss,
    WorkerError,
    WorkerJob,
    WorkerReport,
)
from ropewalk.trainer.adapters.worker.notice import Notice
from ropewalk.trainer.adapters.worker.phases import Phases
from ropewalk.trainer.adapters.worker.preparation import Prepared, prepare
from ropewalk.trainer.adapters.worker.progress import Reporter, step_row
from ropewalk.trainer.adapters.worker.rollback import BadWeightsError, look_at, rolled_back
from ropewalk.trainer.adapters.worker.saving import Saving
from ropewalk.trainer.adapters.worker.strategy import apply_clipped
from ropewalk.trainer.adapters.worker.validation import Validation
from ropewalk.trainer.adapters.worker.watched import watched_phases
from ropewalk.trainer.domain.checkpoint_place import place_of
from ropewalk.trainer.domain.goodput import Yardstick
from ropewalk.trainer.domain.guard import Apply, EndTraining, LeaveOut, RollBack, StepGuard
from ropewalk.trainer.domain.sight import Phase

_RECENT = 20
_MOST_NAMED = 100  # samples in one event


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
        shard = TokenShard(job.dataset)
        batches = Batches(shard, job, rank, world_size, device)
        quiet = report if rank == 0 else _say_nothing
        kept = _Kept(shard, batches, device, StepGuard(), phases, quiet, notice or Notice())
        present: WorkerJob | None = job
        try:
            while present is not None:
                present = _train(present, kept, anew=present is not job)
        finally:
            batches.close()


@dataclass(frozen=True)
class _Kept:
    """What a rank keeps when its weights went bad and it begins again at a checkpoint."""

    shard: TokenShard
    batches: Batches
    device: Device
    guard: StepGuard
    phases: Phases
    report: Callable[[WorkerReport], None]
    notice: Notice


def _train(job: WorkerJob, kept: _Kept, *, anew: bool) -> WorkerJob | None:
    """Train to the end, or return the job to go on with. `anew`: the group has said already that it started."""
    kept.phases.enter("load")
    prepared = prepare(job, kept.shard, kept.device, kept.batches)
    kept.guard.restore(prepared.state.guard)
    training = _Training(job, prepared, kept)
    if not anew:
        training.say_started()
    return training.run()


def _say_nothing(_: WorkerReport) -> None:
    """What the other ranks report."""


class _Training:
    def __init__(self, job: WorkerJob, prepared: Prepared, kept: _Kept) -> None:
        self._job, self._plan, self._batches = job, job.recipe.derived, kept.batches
        self._reporter = Reporter(kept.report)
        self._report = self._reporter.say
        self._strategy, self._schedule = prepared.strategy, prepared.schedule
        self._prepared, self._device, self._phases = prepared, prepared.device, kept.phases
        self._guard = kept.guard
        self._recent = deque(prepared.state.recent_losses, maxlen=_RECENT)
        self._saving = Saving(job, prepared, self._guard, self._recent, self._report)
        self._stop_asked = self._leaving = self._save_asked = False
        self._notice = kept.notice
        self._good: StepBatch | None = None  # the last one whose update was applied
        self._computing: Phase = "compile" if self._device.is_accelerator else "step"  # the first step compiles
        self._validation = Validation(job, prepared, kept.batches.meta, self._report)

    def say_started(self) -> None:
        """A collective: rank 0 reports the processes of all."""
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
        self._say_poison()
        self._phases.take()

    def _say_poison(self) -> None:
        for step, samples in self._prepared.poison.items():
            self._report(
                SamplesLeftOut(
                    run_id=self._job.run_id,
                    epoch=self._job.epoch,
                    attempt=self._job.attempt,
                    step=step,
                    samples=samples[:_MOST_NAMED],
                    num_samples=len(samples),
                )
            )

    def run(self) -> WorkerJob | None:
        """From the first step to the report that it is finished, or to the job to go on with from good weights."""
        try:
            self._run_steps()
        except BadWeightsError as error:
            return self._go_back(error)
        finally:
            self._saving.close()
        return None

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
        checkpoint_id, uri = self._save_last(done) if self._job.saves_end else ("", "")
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
                stopped_by=self._validation.why_ended(done),
                left=self._leaving and not self._stop_asked and done < self._job.total_steps,
                checkpoint_id=checkpoint_id,
                uri=uri,
                spent=self._phases.take(),
                num_steps=done,
            )
        )

    def _save_last(self, done: int) -> tuple[str, str]:
        """No step follows that would prove the weights: a forward pass over the last good batch does."""
        self._saving.save_last(done)
        if self._saving.is_holding and self._good is not None:
            nats = torch.stack([part.detach() for part in self._forward(self._good, last=False)]).sum()
            (loss,) = total([nats / self._good.num_targets])
            reason, odd = self._guard.doubt(loss)
            if reason or (odd and (reason := self._weigh(done))):
                self._obey(self._guard.roll_back(done, reason), done)
        self._saving.proved()
        found = self._saving.land_last()
        self._check_saved(done)
        return found

    def _check_saved(self, step: int, seen: float | None = None) -> None:
        """Go back if rank 0 saw that a copy is broken (`seen` on any rank, if it was asked already)."""
        if seen is None:
            (seen,) = total((), [self._saving.broken != ""])
        if seen:
            self._obey(self._guard.roll_back(step, self._saving.broken), step)

    def _weigh(self, step: int) -> str:
        return look_at(dict(self._prepared.model.named_parameters()), self._prepared.reach(step))

    def _obey(self, verdict: RollBack | EndTraining, step: int) -> NoReturn:
        if isinstance(verdict, EndTraining):
            raise WorkerError(verdict.message)
        raise BadWeightsError(step, verdict.reason)

    def _go_back(self, bad: BadWeightsError) -> WorkerJob:
        """Leave this training behind on all ranks."""
        key = self._saving.newest_key
        place = place_of(key)
        self._report(
            TrainingRolledBack(
                run_id=self._job.run_id,
                epoch=self._job.epoch,
                attempt=self._job.attempt,
                step=bad.step,
                resume_step=place.step if place is not None else 0,
                checkpoint_id=place.checkpoint_id if place is not None else "",
                reason=bad.reason,
            )
        )
        return rolled_back(self._job, key)

    def _take_step(self, step: int) -> None:
        self._phases.enter("data", step)
        self._device.seed(_step_seed(self._job.recipe.seed, step, dist.get_rank()))
        batch = self._batches.read(step)
        self._phases.enter(self._computing)
        share = self._accumulate(batch)
        asked = (dist.get_rank() == 0 and self._job.stops_after(step), self._notice.given)
        flags = (*asked, self._saving.is_due(step + 1), self._saving.broken != "")
        shares = [share, self._strategy.squared_norm_share()]
        loss, squared_norm, stops, leaves, saves, broken, *waits = total(shares, [*flags, *self._waits()])
        norm = squared_norm**0.5
        self._stop_asked, self._leaving = stops > 0, leaves > 0
        self._save_asked = self._save_asked or saves > 0
        self._check_saved(step, broken)
        scale = self._schedule.scale(step)
        self._update(step, loss, norm, scale, batch)
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
        self._save_asked = self._save_asked or (is_best and step + 1 < self._job.total_steps)
        if self._save_asked and not self._guard.is_suspicious:
            self._saving.save(step + 1)
            self._save_asked = False
        self._saving.report_landed()

    def _waits(self) -> list[float]:
        """How long each rank waited for the data of this step, in seconds: this rank's own, 0 for the others."""
        waits = [0.0] * dist.get_world_size()
        waits[dist.get_rank()] = self._phases.so_far("data")
        return waits

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
        share = self._device.place(torch.zeros((), dtype=torch.float64))
        for nats in self._forward(batch, last=True):
            mean = nats / batch.num_targets
            self._strategy.backward(mean * dist.get_world_size())  # the ranks' gradients are averaged, not summed
            share += mean.detach()
        return share

    def _forward(self, batch: StepBatch, *, last: bool) -> Iterator[torch.Tensor]:
        """The nats of one part after the other. `last`: the gradients are averaged after the last one."""
        place = self._device.place
        for number, part in enumerate(batch.parts, start=1):
            yield self._strategy.nats(*map(place, part), last=last and number == len(batch.parts))

    def _update(self, step: int, loss: float, norm: float, scale: float, batch: StepBatch) -> None:
        """Apply the gradients unless the guard objects. All ranks see the same numbers and decide the same."""
        void = LeaveOut("all its samples are left out")
        match void if batch.is_void else self._guard.judge(step, loss, norm, lambda: self._weigh(step)):
            case Apply():
                self._saving.proved()
                apply_clipped(self._strategy, norm=norm, limit=self._plan.grad_clip, rate_scale=scale)
                self._recent.append(loss)
                self._good = batch
            case LeaveOut(reason):
                self._strategy.discard()
                self._saving.skipped(step)
                self._report(StepSkipped(run_id=self._job.run_id, epoch=self._job.epoch, step=step, reason=reason))
            case verdict:
                self._obey(verdict, step)


def _step_seed(seed: int, step: int, rank: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")
