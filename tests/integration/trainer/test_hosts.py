"""Real fork servers, real workers, real kills and no Ray: what a host does is the same there."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ropewalk.corpus.ledger import verify_run
from ropewalk.stages.errors import StageError
from ropewalk.trainer.adapters.attempts import Attempts
from ropewalk.trainer.adapters.hosts import LocalHosts
from ropewalk.trainer.adapters.reports import FromWorkers, TrainingJob, TrainingReport
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Started, StepsDone
from ropewalk.trainer.domain.recovery import Loss


@pytest.fixture
def hosts(workshop) -> Iterator[LocalHosts]:
    with LocalHosts(2, workshop.recipe.chosen_strategy, workshop.root / "scratch") as made:
        yield made


class Watcher:
    """Keeps what attempts report, and does something once a step of an attempt is reported."""

    def __init__(self) -> None:
        self.reports: list[TrainingReport] = []
        self.when: dict[tuple[int, int], Callable[[Started], None]] = {}  # attempt and step

    def __call__(self, report: TrainingReport) -> None:
        self.reports.append(report)
        match report:
            case FromWorkers(attempt, StepsDone(rows=rows)):
                due = [key for key in self.when if key[0] == attempt and key[1] <= rows[-1].step]
                for key in due:
                    self.when.pop(key)(self.started[-1])

    @property
    def started(self) -> list[Started]:
        return [r.report for r in self.reports if isinstance(r, FromWorkers) and isinstance(r.report, Started)]

    @property
    def losses(self) -> list[Loss]:
        return [report for report in self.reports if isinstance(report, Loss)]

    @property
    def committed(self):
        found = [r.report if isinstance(r, FromWorkers) else r for r in self.reports]
        return [item.committed for item in found if isinstance(item, CheckpointWritten) and item.committed]


def with_steps(job: TrainingJob, total_steps: int) -> TrainingJob:
    plan = job.recipe.derived.model_copy(update={"total_steps": total_steps})
    return replace(job, recipe=job.recipe.model_copy(update={"plan": plan}))


def is_gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True


def test_after_a_kill_a_lost_server_a_notice_and_a_hang_training_goes_on_and_no_sample_is_lost(workshop, hosts) -> None:
    watcher = Watcher()

    def kill(started: Started) -> None:
        os.kill(started.worker_pids[1], signal.SIGKILL)

    def kill_server(started: Started) -> None:
        parent = int(Path(f"/proc/{started.worker_pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(parent, signal.SIGKILL)

    def give_notice(started: Started) -> None:
        os.kill(started.worker_pids[1], signal.SIGTERM)

    def stop(started: Started) -> None:
        os.kill(started.worker_pids[1], signal.SIGSTOP)

    watcher.when = {(1, 40): kill, (2, 70): kill_server, (3, 100): give_notice, (4, 120): stop}
    # A save on notice may come as late as step 120: what follows must outlast a report that is read late.
    job = with_steps(workshop.training(), 400)
    finished = Attempts(job, watcher, hosts).run()

    assert finished.step == 400
    assert [loss.cause for loss in watcher.losses] == ["worker_lost", "worker_lost", "pre_emption", "hang"]
    killed, _, _, hung = watcher.losses
    assert (killed.found.ranks, len(killed.found.last_steps)) == ((1,), 2)
    assert "rank 1 was stopped from outside" in hung.detail
    assert hung.found.ranks == (1,)
    stacks = workshop.objects.fetch(hung.found.stacks_uri)
    assert "run_worker" in (stacks / "rank-0.txt").read_text()
    assert watcher.started[3].resume_step == watcher.losses[2].last_step + 1  # saved just in time
    verdict = verify_run(watcher.committed, workshop.meta, job.recipe, workshop.objects)
    assert verdict.ok, verdict.sentences
    assert verdict.num_steps == finished.step
    pids = [pid for started in watcher.started for pid in started.worker_pids]
    assert len(set(pids)) == 10
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.slow
def test_a_fork_server_that_was_stopped_is_named_and_another_host_goes_on(workshop, hosts) -> None:
    watcher, stopped = Watcher(), []

    def stop_server(started: Started) -> None:
        stopped.append(int(Path(f"/proc/{started.worker_pids[1]}/stat").read_text().rpartition(")")[2].split()[1]))
        os.kill(stopped[0], signal.SIGSTOP)

    job = with_steps(workshop.training(), 1_000_000)
    watcher.when = {(1, 40): stop_server, (2, 60): lambda _: job.stop_file.touch()}
    finished = Attempts(job, watcher, hosts).run()
    [loss] = watcher.losses
    assert (finished.stopped, loss.cause, loss.found.ranks) == (True, "hang", (1,))
    stacks = (workshop.objects.fetch(loss.found.stacks_uri) / "rank-1.txt").read_text()
    assert stacks == f"its fork server (process {stopped[0]}) is stopped"


@pytest.mark.slow
def test_of_two_supervisors_the_older_publishes_nothing_more_once_the_newer_has_begun_and_ends(workshop, hosts) -> None:
    watcher, newer_began = Watcher(), threading.Event()
    watcher.when = {(1, 60): lambda _: newer_began.set()}
    older_job = with_steps(workshop.training(epoch=1), 1_000_000)

    with ThreadPoolExecutor(1) as thread:
        older = thread.submit(Attempts(older_job, watcher, hosts).run)
        assert newer_began.wait(60)
        newer_watcher = Watcher()
        with LocalHosts(1, "ddp", workshop.root / "scratch") as newer_hosts:
            newer = Attempts(
                replace(with_steps(workshop.training(epoch=2), 1_000_000), first_attempt=2), newer_watcher, newer_hosts
            )
            before = set(workshop.objects.list("runs/r/checkpoints/"))
            newer_watcher.when = {(2, 150): lambda _: older_job.stop_file.touch()}
            with pytest.raises(StageError, match="epoch"):
                older.result(60)
            finished = newer.run()

    published = {key for key in workshop.objects.list("runs/r/checkpoints/") if "/1-" in key}
    assert published <= before
    assert newer_watcher.started[0].resume_step > 0
    assert finished.uri.rpartition("/")[2].startswith("2-")
