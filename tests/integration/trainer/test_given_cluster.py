"""What a cluster of several machines needs: a Ray that is given, ranks that meet over TCP, hosts that are abandoned."""

import os
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ropewalk.stages.child import run_child
from ropewalk.trainer.adapters import entry, host
from ropewalk.trainer.adapters.attempts import Attempts
from ropewalk.trainer.adapters.host import Host
from ropewalk.trainer.adapters.hosts import LocalHosts
from ropewalk.trainer.adapters.rank_task import RankTask
from ropewalk.trainer.adapters.reports import FromWorkers, TrainingReport
from ropewalk.trainer.adapters.worker.job import Finished, Started, StepsDone
from ropewalk.trainer.domain.recovery import Loss

pytestmark = pytest.mark.slow


@pytest.fixture
def given_ray() -> Iterator[str]:
    """The address of a Ray that somebody else has started, and ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path("/tmp/rw-given-ray")
    options = ["--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2"]
    options += ["--include-dashboard=false", "--object-store-memory=100000000", f"--temp-dir={folder}"]
    command = [Path(sysconfig.get_path("scripts")) / "ray", "start", *options, "--disable-usage-stats"]
    head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (folder / "session_latest" / "sockets" / "raylet").exists():
            assert head.poll() is None
        yield f"127.0.0.1:{port}"
        assert head.poll() is None
    finally:
        for process in [*psutil.Process(head.pid).children(recursive=True), head]:
            process.kill()
        head.wait()


async def test_a_group_trains_on_a_ray_that_is_given_through_kills_of_a_worker_and_of_a_host(
    workshop, given_ray
) -> None:
    job = workshop.training()
    losses: list[Loss] = []
    pids: list[int] = []
    # A worker of the first attempt and an actor of the second, by the step.
    due = {1: (60, lambda pid: pid), 2: (150, lambda pid: psutil.Process(pid).parent().ppid())}

    async def on_report(report: TrainingReport) -> None:
        match report:
            case Loss():
                losses.append(report)
            case FromWorkers(_, Started(worker_pids=started)):
                pids.extend(started)
            case FromWorkers(attempt, StepsDone(rows=rows)) if attempt in due and rows[-1].step >= due[attempt][0]:
                os.kill(due.pop(attempt)[1](pids[-1]), signal.SIGKILL)

    given = replace(job, cluster=replace(job.cluster, address=given_ray))
    finished = await run_child(entry.train, given, on_report)
    assert finished.step == job.recipe.derived.total_steps
    assert [loss.cause for loss in losses] == ["worker_lost", "worker_lost"]
    assert not list(job.scratch.rglob("rank-*"))
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


class _FarHosts(LocalHosts):
    """Each on a machine of its own, as far as they know."""

    def ready(self):
        handles = super().ready()
        for rank, handle in enumerate(handles):
            place = replace(handle.where(), machine=f"machine-{rank}")
            handle.where = lambda place=place: place
        return handles


def test_ranks_on_several_machines_meet_over_tcp(workshop) -> None:
    job = workshop.training()
    recipe = job.recipe.model_copy(update={"plan": job.recipe.derived.model_copy(update={"total_steps": 20})})
    with _FarHosts(2, recipe.chosen_strategy, workshop.root / "scratch") as hosts:
        assert Attempts(replace(job, recipe=recipe), lambda _: None, hosts).run().step == 20


def test_a_host_that_nobody_asks_for_reports_any_more_ends_its_worker(workshop, monkeypatch) -> None:
    monkeypatch.setattr(host, "_ABANDONED_S", 3.0)
    job = workshop.training().for_workers(1, 0.02, 0.01, workshop.root / "stop")
    made = Host(job.recipe.chosen_strategy, workshop.root / "scratch")
    try:
        ended = made.run(RankTask(job=job, rank=0, world_size=1, local_rank=0, on_one_machine=True))
        assert ended.symptom is not None
        assert ended.symptom.kind == "died"
        assert not [report for report in made.drain() if isinstance(report, Finished)]
    finally:
        made.remove()
