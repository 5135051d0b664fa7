"""Real Ray, two real workers, real kills."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ropewalk.corpus.ledger import verify_run
from ropewalk.events.base import Message
from ropewalk.events.training import (
    StepMetrics,
    StepMetricsBatch,
    StepsCommitted,
    TrainingInterrupted,
    TrainingResumed,
    TrainingStarted,
)
from ropewalk.stages.child import run_child
from ropewalk.trainer.adapters import entry
from ropewalk.trainer.adapters.reports import CpuUsed, TrainingReport
from ropewalk.trainer.domain.goodput import Goodput
from ropewalk.trainer.domain.story import Past, Story
from ropewalk.trainer.handlers import told_by


async def test_a_killed_worker_costs_no_sample_and_no_committed_step(
    workshop, ray_processes: Callable[[Path], list[int]]
) -> None:
    job = workshop.training()
    story = Story(run_id="r", epoch=1, recipe=job.recipe, past=Past(), goodput=Goodput(began=time.time()))
    events: list[Message] = []
    rows: list[StepMetrics] = []
    cpu_seconds: list[float] = []

    async def on_report(report: TrainingReport) -> None:
        if isinstance(report, CpuUsed):
            cpu_seconds.append(report.seconds)
            return
        for event, _ in told_by(story, report):
            events.append(event)
            if isinstance(event, StepMetricsBatch):
                kill_once(event.rows)

    def kill_once(new: tuple[StepMetrics, ...]) -> None:
        rows.extend(new)
        if new[0].attempt == 1 and new[-1].step >= 100 and started()[0].worker_pids[1] not in killed:
            killed.append(started()[0].worker_pids[1])
            os.kill(killed[0], signal.SIGKILL)

    def started() -> list[TrainingStarted]:
        return [event for event in events if isinstance(event, TrainingStarted)]

    killed: list[int] = []
    finished = await run_child(entry.train, job, on_report)

    assert len(killed) == 1
    assert finished.step == job.recipe.derived.total_steps
    assert finished.uri in workshop.objects.list("runs/r/checkpoints/")
    [interrupted] = [event for event in events if isinstance(event, TrainingInterrupted)]
    assert interrupted.cause == "worker_lost"
    [resumed] = [event for event in events if isinstance(event, TrainingResumed)]
    assert resumed.resume_step > 0
    assert 0 < resumed.seconds_lost < 60
    assert [event.resume_step for event in started()] == [0, resumed.resume_step]
    committed = [event for event in events if isinstance(event, StepsCommitted)]
    verdict = verify_run(committed, workshop.meta, job.recipe, workshop.objects)
    assert verdict.ok, verdict.sentences
    assert verdict.num_steps == job.recipe.derived.total_steps
    assert {row.step for row in rows} == set(range(job.recipe.derived.total_steps))
    assert sum(cpu_seconds) > 1
    assert ray_processes(workshop.ray_folder) == []
    assert not list(workshop.ray_folder.iterdir())
