"""The trials of a search as Ray tasks. Who trains how far is decided in `domain/search`; the workers only train.

Each rung of a trial is a task, and the next goes on from the checkpoint that it left in the object store. What ended
is told at once, so that a search that is killed goes on where it was; what was told is not run again.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import RayError, WorkerCrashedError

from ropewalk.events.foreign import cut
from ropewalk.events.training import RungReached
from ropewalk.recipes.ladder import ladder_of
from ropewalk.trainer.adapters.cpu_meter import Beat, CpuMeter
from ropewalk.trainer.adapters.mailbox import MailboxSender, SentReport, open_mailbox
from ropewalk.trainer.adapters.ray_cluster import num_gpus
from ropewalk.trainer.adapters.ray_hosts import in_one_line
from ropewalk.trainer.adapters.reports import CpuUsed, SearchJob
from ropewalk.trainer.adapters.worker.job import Finished, StepLoss, WorkerError, WorkerJob
from ropewalk.trainer.domain.placement import trial_share
from ropewalk.trainer.domain.search import Place, factor_of, left_to_run, rung_loss, trial_params

_POLL_S = 0.2
_MOST_CRASHES = 2  # of one rung: a process may be killed, and its trial is not to blame
_CRASHED = "the process of a trial was killed or crashed"


@dataclass(kw_only=True)
class _Running:
    place: Place
    reference: Any
    started: float = field(default_factory=time.monotonic)
    losses: list[float] = field(default_factory=list)
    finished: Finished | None = None


class Trials:
    """All trials of one search."""

    def __init__(self, job: SearchJob, report: Callable[[object], None]) -> None:
        self._job, self._report = job, report
        self._ladder = ladder_of(job.recipe)
        self._objects = job.store.connect()
        self._box: Any = open_mailbox()
        self._running: dict[int, _Running] = {}  # by trial
        self._journal = {(rung.trial, rung.rung): rung for rung in reversed(job.journal)}
        self._crashes: Counter[Place] = Counter()
        self._meter = CpuMeter()
        share = trial_share(job.recipe.derived.device, job.parallel, num_gpus())
        self._task = _run_trial.options(num_gpus=share)

    def run(self) -> tuple[RungReached, ...]:
        """Train until no rung is left; gives the whole journal."""
        while wanted := left_to_run(self._ladder, {place: rung.loss for place, rung in self._journal.items()}):
            waiting = [place for place in wanted if place[0] not in self._running]
            for place in waiting[: self._job.parallel - len(self._running)]:
                self._start(place)
            references = {running.reference: trial for trial, running in self._running.items()}
            done, _ = ray.wait(list(references), timeout=_POLL_S)
            self._take_mail()
            for reference in done:
                self._end(self._running.pop(references[reference]))
        self._clean()
        self._report(CpuUsed(self._meter.total_s()))
        return tuple(self._journal.values())

    def _start(self, place: Place) -> None:
        trial, rung = place
        before = self._journal[trial, rung - 1].uri if rung else ""
        begin = before if before and self._objects.exists(before) else ""  # else it takes the steps again
        reference = self._task.remote(self._worker_job(trial, self._ladder.steps[rung], begin), self._box)
        self._running[trial] = _Running(place=place, reference=reference)

    def _worker_job(self, trial: int, steps: int, checkpoint: str) -> WorkerJob:
        params = trial_params(self._job.recipe.derived, factor_of(trial))
        job = self._job.for_workers(trial, params["matrix_lr"], params["adam_lr"], None, checkpoint)
        # Every strategy has the same optimizer; this one needs a single process.
        alone = job.recipe.model_copy(update={"strategy": "ddp", "num_workers": 1})
        return replace(job, run_id=self._name(trial), recipe=alone, stop_after_steps=steps, keeps_trial=True)

    def _name(self, trial: int) -> str:
        """Under which a trial's checkpoints lie."""
        return f"{self._job.run_id}-trial-{trial}"

    def _take_mail(self) -> None:
        for letter in ray.get(self._box.drain.remote()):
            match letter:
                case Beat():
                    self._meter.note(letter)
                case SentReport(sender=trial, content=StepLoss() as step) if trial in self._running:
                    self._running[trial].losses.append(step.loss)
                case SentReport(sender=trial, content=Finished() as finished) if trial in self._running:
                    self._running[trial].finished = finished

    def _end(self, running: _Running) -> None:
        (trial, rung), finished = running.place, running.finished
        failure = _failure_of(running.reference)
        if failure == _CRASHED and self._crashes[running.place] < _MOST_CRASHES:
            self._crashes[running.place] += 1
            return
        steps = self._ladder.steps[rung]
        reached = RungReached(
            run_id=self._job.run_id,
            trial=trial,
            rung=rung,
            num_steps=finished.step if finished else len(running.losses),
            loss=rung_loss(running.losses, steps) if finished else math.nan,
            uri=finished.uri if finished else "",
            seconds=time.monotonic() - running.started,
            detail=cut(failure, 1000),
        )
        self._journal[running.place] = reached
        self._report(reached)

    def _clean(self) -> None:
        """The checkpoints of a search are of no use after it."""
        for trial in {trial for trial, _ in self._journal}:
            for key in self._objects.list(f"runs/{self._name(trial)}/"):
                self._objects.delete(key)


def _failure_of(reference: Any) -> str:
    try:
        return str(ray.get(reference))
    except WorkerCrashedError:
        return _CRASHED
    except RayError as error:
        return in_one_line(error)


@ray.remote(num_cpus=1, max_retries=0)
def _run_trial(job: WorkerJob, box: Any) -> str:
    """What a trial's process runs. Returns why it failed; empty if it did not."""
    from ropewalk.trainer.adapters.worker.loop import run_worker

    try:
        with MailboxSender(box, job.attempt) as report:
            run_worker(job.localized(), 0, 1, report)
    except WorkerError as error:
        return str(error)
    except (RuntimeError, ValueError, OSError) as error:  # a failed trial is a result of the search
        return f"{type(error).__name__}: {error}"
    return ""
