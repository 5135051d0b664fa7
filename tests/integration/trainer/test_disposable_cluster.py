"""A private Ray whose parts are killed, a stage that is told to leave, and a stage that is killed."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ropewalk.stages.child import run_child
from ropewalk.stages.errors import ChildDiedError
from ropewalk.trainer.adapters import entry
from ropewalk.trainer.adapters.reports import FromWorkers, TrainingReport
from ropewalk.trainer.adapters.worker.job import Started, StepsDone
from ropewalk.trainer.domain.recovery import Loss

pytestmark = pytest.mark.slow


class Stage:
    """What a stage's child reports, and what to do once an attempt has taken a step."""

    def __init__(self, when: dict[tuple[int, int], Callable[[], None]]) -> None:
        self.when = when
        self.losses: list[Loss] = []
        self.pids: list[int] = []

    async def on_report(self, report: TrainingReport) -> None:
        match report:
            case Loss():
                self.losses.append(report)
            case FromWorkers(_, Started(worker_pids=pids)):
                self.pids += pids
            case FromWorkers(attempt, StepsDone(rows=rows)):
                for key in [key for key in self.when if key[0] == attempt and key[1] <= rows[-1].step]:
                    self.when.pop(key)()


def the_child() -> psutil.Process:
    [child] = [c for c in psutil.Process().children() if "spawn_main" in " ".join(c.cmdline())]
    return child


def kill_daemon(name: str) -> None:
    [daemon] = [process for process in the_child().children() if process.name() == name]
    daemon.kill()


async def until_gone(processes: list[psutil.Process]) -> None:
    async with asyncio.timeout(10):
        while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
            await asyncio.sleep(0.1)


async def test_a_head_or_a_node_that_dies_costs_a_new_cluster_and_not_the_run(
    workshop, ray_processes: Callable[[Path], list[int]]
) -> None:
    stage = Stage({(1, 60): lambda: kill_daemon("gcs_server"), (2, 150): lambda: kill_daemon("raylet")})
    job = workshop.training()
    finished = await run_child(entry.train, job, stage.on_report)
    assert finished.step == job.recipe.derived.total_steps
    assert [loss.cause for loss in stage.losses] == ["cluster", "cluster"]
    assert not list(job.scratch.rglob("rank-*"))
    assert "gcs_server" in stage.losses[0].detail
    assert ray_processes(workshop.ray_folder) == []
    assert not [pid for pid in stage.pids if psutil.pid_exists(pid)]


async def test_a_stage_that_is_told_to_leave_saves_first_and_another_goes_on_from_there(workshop) -> None:
    stage = Stage({(1, 60): lambda: the_child().send_signal(signal.SIGTERM)})
    with pytest.raises(ChildDiedError, match="told to leave"):
        await run_child(entry.train, workshop.training(), stage.on_report)
    [loss] = stage.losses
    assert loss.cause == "pre_emption"
    assert workshop.objects.exists(f"runs/r/checkpoints/1-{loss.steps_done}")


async def test_nothing_is_left_of_a_stage_that_is_killed(workshop) -> None:
    left: list[psutil.Process] = []

    def kill() -> None:
        left.extend(the_child().children(recursive=True))
        os.kill(the_child().pid, signal.SIGKILL)

    stage = Stage({(1, 60): kill})
    with pytest.raises(ChildDiedError):
        await run_child(entry.train, workshop.training(), stage.on_report)
    assert len(left) > 6
    await until_gone(left)
