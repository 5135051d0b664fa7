"""The trials of a search as Ray tasks: Optuna proposes factors and prunes, the workers only train.

The first trial takes the derived rates unchanged, so a search never ends worse than no search on its own measure.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import ray
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from ray.exceptions import RayError, WorkerCrashedError

from ropewalk.events.training import TrialCompleted
from ropewalk.trainer.adapters.cpu_meter import Beat, CpuMeter
from ropewalk.trainer.adapters.mailbox import MailboxSender, SentReport, open_mailbox
from ropewalk.trainer.adapters.ray_cluster import num_gpus
from ropewalk.trainer.adapters.ray_errors import in_one_line
from ropewalk.trainer.adapters.reports import CpuUsed, SearchJob, SearchResult
from ropewalk.trainer.adapters.worker.job import Finished, StepLoss, WorkerError, WorkerJob
from ropewalk.trainer.domain.placement import trial_share
from ropewalk.trainer.domain.search import HIGHEST_FACTOR, LOWEST_FACTOR, LR_FACTOR, num_trials, tail_mean, trial_params

_POLL_S = 0.2
_SMOOTH = 10  # steps: a pruner that looks at single batches prunes luck


@dataclass(kw_only=True)
class _Running:
    trial: optuna.trial.Trial
    reference: Any
    stop_file: Path
    params: dict[str, float]
    started: float = field(default_factory=time.monotonic)
    losses: list[float] = field(default_factory=list)
    finished: bool = False
    pruned: bool = False


class Trials:
    """All trials of one search."""

    def __init__(self, job: SearchJob, report: Callable[[object], None]) -> None:
        self._job = job
        self._report = report
        self._box: Any = open_mailbox()
        self._running: dict[int, _Running] = {}
        self._ended: dict[int, TrialCompleted] = {}
        self._meter = CpuMeter()
        self._first_failure = ""
        self._study = _study(job)
        share = trial_share(job.recipe.derived.device, job.parallel, num_gpus())
        self._task = _run_trial.options(num_gpus=share)

    def run(self) -> SearchResult:
        """Run them all."""
        total = num_trials(self._job.recipe)
        while len(self._ended) < total:
            while len(self._running) < self._job.parallel and len(self._running) + len(self._ended) < total:
                self._start()
            references = {running.reference: number for number, running in self._running.items()}
            done, _ = ray.wait(list(references), timeout=_POLL_S)
            self._take_mail()
            for reference in done:
                self._end(references[reference])
        self._report(CpuUsed(self._meter.total_s()))
        return SearchResult(tuple(self._ended[number] for number in sorted(self._ended)), self._first_failure)

    def _start(self) -> None:
        trial = self._study.ask()
        factor = trial.suggest_float(LR_FACTOR, LOWEST_FACTOR, HIGHEST_FACTOR, log=True)
        params = trial_params(self._job.recipe.derived, factor)
        stop_file = self._job.scratch / f"stop-trial-{trial.number}"
        reference = self._task.remote(self._worker_job(trial.number, params, stop_file), self._box)
        self._running[trial.number] = _Running(trial=trial, reference=reference, stop_file=stop_file, params=params)

    def _worker_job(self, number: int, params: dict[str, float], stop_file: Path) -> WorkerJob:
        job = self._job.for_workers(number, params["matrix_lr"], params["adam_lr"], stop_file)
        alone = job.recipe.model_copy(update={"strategy": "ddp", "num_workers": 1})
        return replace(job, recipe=alone, stop_after_steps=job.recipe.derived.trial_steps)

    def _take_mail(self) -> None:
        for letter in ray.get(self._box.drain.remote()):
            match letter:
                case Beat():
                    self._meter.note(letter)
                case SentReport(sender=number, content=StepLoss() as step) if number in self._running:
                    self._note_step(self._running[number], step)
                case SentReport(sender=number, content=Finished()) if number in self._running:
                    self._running[number].finished = True

    def _note_step(self, running: _Running, step: StepLoss) -> None:
        """Let the pruner look; a pruned trial finds its stop file at its next step."""
        running.losses.append(step.loss)
        recent = running.losses[-_SMOOTH:]
        running.trial.report(math.fsum(recent) / len(recent), step.step)
        if not running.pruned and running.trial.should_prune():
            running.pruned = True
            running.stop_file.touch()

    def _end(self, number: int) -> None:
        running = self._running.pop(number)
        failure = _failure_of(running.reference)
        self._first_failure = self._first_failure or failure
        loss = tail_mean(running.losses)
        if not running.finished or not math.isfinite(loss):
            status, state = "failed", TrialState.FAIL
        elif running.pruned:
            status, state = "pruned", TrialState.PRUNED
        else:
            status, state = "complete", TrialState.COMPLETE
        self._study.tell(running.trial, loss if state == TrialState.COMPLETE else None, state=state)
        completed = TrialCompleted.model_validate(
            {
                "run_id": self._job.run_id,
                "trial": number,
                "status": status,
                "params": running.params,
                "loss": loss,
                "num_steps": len(running.losses),
                "seconds": time.monotonic() - running.started,
            }
        )
        self._ended[number] = completed
        self._report(completed)


def _failure_of(reference: Any) -> str:
    try:
        return str(ray.get(reference))
    except WorkerCrashedError:
        return "the process of a trial was killed or crashed"
    except RayError as error:
        return in_one_line(error)


def _study(job: SearchJob) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials, steps = num_trials(job.recipe), job.recipe.derived.trial_steps
    study = optuna.create_study(
        direction="minimize",
        sampler=TPESampler(seed=job.recipe.seed, n_startup_trials=max(2, min(10, trials // 2))),
        pruner=MedianPruner(n_startup_trials=2, n_warmup_steps=steps // 3, interval_steps=max(1, steps // 10)),
    )
    study.enqueue_trial({LR_FACTOR: 1.0})
    return study


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
