"""Ranks that hang, under Ray with real workers; `test_hosts` has the same below Ray."""

import os
import signal
import time

import pytest

from ropewalk.stages.child import run_child
from ropewalk.trainer.adapters import entry
from ropewalk.trainer.adapters.reports import FromWorkers, TrainingReport
from ropewalk.trainer.adapters.worker.job import Started, StepsDone
from ropewalk.trainer.domain.recovery import Loss


@pytest.mark.slow
async def test_a_stopped_worker_under_ray_is_named_within_fifteen_seconds_and_training_goes_on(workshop) -> None:
    job = workshop.training()
    pids: list[int] = []
    stopped_at: list[float] = []
    losses: list[tuple[float, Loss]] = []

    async def on_report(report: TrainingReport) -> None:
        match report:
            case FromWorkers(_, Started(worker_pids=found)):
                pids[:] = found
            case FromWorkers(1, StepsDone(rows=rows)) if rows[-1].step >= 50 and not stopped_at:
                os.kill(pids[0], signal.SIGSTOP)
                stopped_at.append(time.monotonic())
            case Loss():
                losses.append((time.monotonic(), report))

    finished = await run_child(entry.train, job, on_report)

    [(lost_at, loss)] = losses
    assert (loss.cause, loss.found.ranks, loss.found.phase) == ("hang", (0,), "step")
    assert lost_at - stopped_at[0] < 15
    stacks = workshop.objects.fetch(loss.found.stacks_uri)
    assert "run_worker" in (stacks / "rank-1.txt").read_text()
    assert "did not answer" in (stacks / "rank-0.txt").read_text()
    assert finished.step == job.recipe.derived.total_steps
