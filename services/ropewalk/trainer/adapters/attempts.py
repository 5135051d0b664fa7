"""Trains a run to its end: one worker group after the other, each from the newest whole checkpoint.

This is the one place that acts on `domain.recovery`. It runs in a child process of the service and knows no bus.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ropewalk.stages.errors import ChildDiedError, StageError
from ropewalk.storage.manifest import ManifestError, verify
from ropewalk.storage.objects import ObjectNotFoundError
from ropewalk.trainer.adapters.cap_watch import CapWatch
from ropewalk.trainer.adapters.checkpoints import RunCheckpoints, WholeCheckpoint
from ropewalk.trainer.adapters.cpu_meter import CpuMeter
from ropewalk.trainer.adapters.hosts import HostHandle, Hosts, HostsLostError
from ropewalk.trainer.adapters.reports import CpuUsed, FromWorkers, SlowRank, TrainingJob, TrainingReport
from ropewalk.trainer.adapters.watch import RankWatch, keep_stacks
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Finished, Started, StepsDone, WorkerReport
from ropewalk.trainer.adapters.worker.notice import Notice
from ropewalk.trainer.adapters.worker_group import GroupWatch, run_group
from ropewalk.trainer.domain.checkpoint_place import place_of_id
from ropewalk.trainer.domain.poison import named, suspects
from ropewalk.trainer.domain.recovery import Diagnosis, GiveUp, Loss, PostMortem, Symptom, TryAgain, decide, diagnose

logger = logging.getLogger(__name__)
OnTrainingReport = Callable[[TrainingReport], None]


@dataclass(kw_only=True)
class _Attempt:
    """What one group has shown so far."""

    number: int
    start_step: int
    last_step: int
    last_sign: float = field(default_factory=time.time)
    finished: Finished | None = None
    left: Finished | None = None  # a rank got notice, and all saved and left
    checkpoint_id: str = ""  # the newest
    saved_at: float = field(default_factory=time.monotonic)  # or begun, if it saved nothing yet
    worked_at: float = field(default_factory=time.monotonic)

    def note(self, report: WorkerReport) -> None:
        """Keep what recovery needs to know."""
        self.last_sign = time.time()
        match report:
            case StepsDone(rows=rows) if rows:
                self.last_step = rows[-1].step
                self.last_sign = rows[-1].time_unix
                self.worked_at = time.monotonic()
            case CheckpointWritten(saved=saved):
                self.checkpoint_id, self.saved_at = saved.checkpoint_id, time.monotonic()
            case Finished(left=True):
                self.left = report
            case Finished():
                self.finished = report
            case Started():
                self.saved_at = self.worked_at = time.monotonic()
                logger.info("attempt %d starts at step %d", self.number, report.resume_step)

    def post_mortem(self, diagnosis: Diagnosis, watch: RankWatch | None) -> PostMortem:
        """What is known of its end."""
        sights = {sight.rank: sight for sight in watch.sights} if watch is not None else {}
        ranks = watch.hang.ranks if watch is not None and watch.hang is not None else diagnosis.ranks
        return PostMortem(
            ranks=ranks,
            phase=sights[ranks[0]].phase if ranks and ranks[0] in sights else "",
            last_steps=tuple(sights[rank].step for rank in sorted(sights)),
            stacks_uri=watch.stacks_uri if watch is not None else "",
            seconds_lost=max(0.0, self.worked_at - self.saved_at),
            checkpoint_id=self.checkpoint_id,
        )


class Attempts:
    """The attempts of one training job on the same hosts."""

    def __init__(self, job: TrainingJob, report: OnTrainingReport, hosts: Hosts, notice: Notice | None = None) -> None:
        self._job = job
        self._report = report
        self._hosts = hosts
        self._notice = notice or Notice()
        self._checkpoints = RunCheckpoints(job.store.connect(), job.run_id, job.epoch, job.announced, job.gone)
        self._meter = CpuMeter()
        self._losses: list[Loss] = []
        self._caps = CapWatch(job=job)

    def run(self) -> Finished:
        """Train until a group finishes. Raises StageError when another attempt would not help, ChildDiedError when
        this process was given notice.
        """
        number = self._job.first_attempt
        while True:
            newest = self._resume_point()
            if self._is_last(newest) or self._caps.look() or self._job.stop_file.exists():
                return self._end(newest)
            attempt, diagnosis, found = self._one(number, newest)
            if attempt.finished is not None:
                self._report(CpuUsed(self._meter.total_s()))
                unsaved = self._caps.reason and not attempt.finished.checkpoint_id  # the disk was full
                return self._end(self._resume_point()) if unsaved else self._caps.said(attempt.finished)
            self._recover(attempt, diagnosis, found)
            number += 1

    def _one(self, number: int, newest: WholeCheckpoint | None) -> tuple[_Attempt, Diagnosis, PostMortem]:
        recipe = self._job.recipe
        step, name = recipe.first_step, recipe.extends
        if newest is not None:
            step, name = newest.place.step, newest.place.checkpoint_id
        attempt = _Attempt(number=number, start_step=step, last_step=step - 1, checkpoint_id=name)

        def on_report(report: WorkerReport) -> None:
            attempt.note(report)
            self._caps.note(report)
            if isinstance(report, CheckpointWritten):
                self._checkpoints.announce(report.saved)
            self._report(FromWorkers(number, report))

        job, key = self._job, newest.place.key if newest is not None else self._extended_key()
        workers_job = job.for_workers(number, job.matrix_lr, job.adam_lr, job.stop_file, key)
        workers_job = replace(workers_job, suspects=suspects(self._losses))
        watch: RankWatch | None = None
        try:
            handles = self._hosts.ready()
            watch = self._watch(number, handles)
            symptoms = run_group(workers_job, handles, self._group_watch(watch, on_report))
            watch.look_back()
        except HostsLostError as error:
            symptoms = [Symptom(kind="cluster", text=str(error))]
        if attempt.left is not None:
            text = f"a worker was told to leave: saved after step {attempt.left.step - 1} and left"
            symptoms = [Symptom(kind="pre_empted", text=text)]
        diagnosis = diagnose(symptoms)
        if diagnosis.cause == "cluster":
            self._hosts.renew()
        return attempt, diagnosis, attempt.post_mortem(diagnosis, watch)

    def _watch(self, number: int, ranks: Sequence[HostHandle]) -> RankWatch:
        job = self._job
        return RankWatch(
            ranks=ranks,
            longest_s=job.stall_s,
            batch_size=job.recipe.derived.batch_size,
            on_slow=lambda slow: self._report(SlowRank(number, slow)),
            keep=partial(keep_stacks, job.store, job.scratch, f"runs/{job.run_id}/stacks/{job.epoch}-{number}"),
        )

    def _group_watch(self, watch: RankWatch, on_report: Callable[[WorkerReport], None]) -> GroupWatch:
        return GroupWatch(
            stall_s=self._job.stall_s,
            on_report=on_report,
            meter=self._meter,
            notice=self._notice,
            on_look=lambda: self._hosts.wrong() or watch.look(),
        )

    def _end(self, newest: WholeCheckpoint | None) -> Finished:
        """With what is there. Raises StageError if a cap was reached before there was anything."""
        if newest is None and self._caps.reason:
            raise StageError(f"training reached {self._caps.reason}, before its first checkpoint: allow more")
        return self._caps.said(_finished_before(newest, self._job.recipe.derived.total_steps))

    def _is_last(self, newest: WholeCheckpoint | None) -> bool:
        """Whether nothing is left to train. With a patience the workers have still to say which one is the best."""
        if newest is None:
            return False
        plan, step = self._job.recipe.derived, newest.place.step
        return self._caps.is_last(step) and not (plan.patience and step >= plan.total_steps)

    def _extended_key(self) -> str:
        """Of another run's checkpoint, where the recipe extends one. Raises StageError if that is not whole."""
        if not (extends := self._job.recipe.extends):
            return ""
        key = place_of_id(extends).key
        try:
            verify(self._job.store.connect().fetch(key))
        except (ObjectNotFoundError, ManifestError) as error:
            raise StageError(f"checkpoint {extends}, which this run extends, cannot be read: {error}") from None
        return key

    def _resume_point(self) -> WholeCheckpoint | None:
        newest = self._checkpoints.newest_whole(self._report)
        if newest is not None:
            for found in self._checkpoints.ancestry(newest, self._report):
                self._checkpoints.announce(found.saved)
                self._report(found)
        return newest

    def _recover(self, attempt: _Attempt, diagnosis: Diagnosis, found: PostMortem) -> None:
        """Report the loss and wait out the back-off, or give up."""
        loss = Loss(
            attempt=attempt.number,
            cause=diagnosis.cause,
            detail=diagnosis.detail,
            start_step=attempt.start_step,
            last_step=attempt.last_step,
            time_unix=attempt.last_sign,
            found=found,
        )
        loss = named(self._losses, loss)
        self._report(loss)
        self._losses.append(loss)
        if self._notice.given:
            raise ChildDiedError("training was told to leave")
        match decide(self._losses):
            case GiveUp(message):
                self._report(CpuUsed(self._meter.total_s()))
                raise StageError(message)
            case TryAgain(delay_s):
                logger.warning("attempt %d: %s; again in %.0f s", attempt.number, diagnosis.cause, delay_s)
                time.sleep(delay_s)


def _finished_before(newest: WholeCheckpoint | None, total_steps: int) -> Finished:
    """Nothing is left to train (or to be waited for): what the newest checkpoint says of the end."""
    meta = newest.manifest.meta if newest is not None else {}
    step = newest.place.step if newest is not None else 0
    return Finished(
        step=step,
        loss=float(str(meta.get("loss") or "nan")),
        tokens=int(str(meta.get("tokens") or 0)),
        seconds=0.0,
        stopped=step < total_steps,
        checkpoint_id=str(meta.get("checkpoint_id", "")),
        uri=newest.place.key if newest is not None else "",
        num_steps=step,
    )
