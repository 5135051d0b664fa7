"""One worker group on its hosts, from the fork of its ranks to the end of the last. Every decision is elsewhere."""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from ropewalk.trainer.adapters.cpu_meter import CpuMeter
from ropewalk.trainer.adapters.hosts import HostHandle
from ropewalk.trainer.adapters.rank_task import Ended, RankTask, Where
from ropewalk.trainer.adapters.worker.job import WorkerJob, WorkerReport
from ropewalk.trainer.adapters.worker.notice import Notice
from ropewalk.trainer.domain.recovery import Symptom

_LOOK_EVERY_S = 0.2  # for reports; the end of a worker is seen at once
_LAST_WORDS_S = 1.0  # when a rank raised, its peers may know the true reason a moment later
_DEATHS = frozenset({"died", "out_of_memory", "node_lost"})  # what a kill of ours may look like
_KILL_S = 5.0  # then a host that has not ended its worker is ended itself


@dataclass(kw_only=True)
class GroupWatch:
    """What is looked at while a group runs. `on_look` is called several times a second: it returns what is wrong."""

    stall_s: float
    on_report: Callable[[WorkerReport], None]
    meter: CpuMeter
    notice: Notice  # of the process that watches; it is passed on to the workers
    on_look: Callable[[], Sequence[Symptom]] = tuple


@dataclass(kw_only=True)
class _Running:
    """The ranks of one group. `symptoms` is what was seen from outside."""

    handles: Sequence[HostHandle]
    futures: list[Future[Ended]]
    symptoms: list[Symptom] = field(default_factory=list)
    kill_at: float = float("inf")
    killed_at: float = float("inf")
    killed: list[Future[Ended]] = field(default_factory=list)  # by us: how these died says nothing

    @property
    def pending(self) -> list[Future[Ended]]:
        return [future for future in self.futures if not future.done()]

    def ended_badly(self) -> list[Symptom]:
        """In the order of ranks."""
        endings = [(future, future.result().symptom) for future in self.futures if future.done()]
        return [
            symptom
            for future, symptom in endings
            if symptom is not None and not (future in self.killed and symptom.kind in _DEATHS)
        ]

    def see(self, found: Sequence[Symptom]) -> None:
        """End the whole group: at once for what was seen from outside or for a death, else after the last words."""
        self.symptoms += found
        bad = self.ended_badly()
        if found or any(symptom.kind != "raised" for symptom in bad):
            self.kill_at = 0.0
        elif bad:
            self.kill_at = min(self.kill_at, time.monotonic() + _LAST_WORDS_S)

    def end_if_due(self) -> None:
        """Kill what still runs; a host that does not obey is ended."""
        now = time.monotonic()
        if now < self.kill_at or not self.pending:
            return
        running = [pair for pair in zip(self.handles, self.futures, strict=True) if not pair[1].done()]
        if self.killed_at > now:
            self.killed_at, self.killed = now, [future for _, future in running]
            for handle, _ in running:
                handle.signal(signal.SIGKILL)
        elif now - self.killed_at > _KILL_S:
            for handle, _ in running:
                handle.close()


def run_group(job: WorkerJob, handles: Sequence[HostHandle], watch: GroupWatch) -> list[Symptom]:
    """Run one group to its end and pass on its mail. Returns nothing if it ended well, else what its ranks showed.

    Raises HostsLostError.
    """
    tasks = _tasks(job, [handle.where() for handle in handles])
    futures = [handle.run(task) for handle, task in zip(handles, tasks, strict=True)]
    running = _Running(handles=handles, futures=futures)
    last_sign, noticed, stopped = time.monotonic(), False, False
    while running.pending:
        wait(running.pending, timeout=_LOOK_EVERY_S, return_when=FIRST_COMPLETED)
        found = [] if running.symptoms else list(watch.on_look())
        if any(symptom.kind == "cluster" for symptom in found):
            return found  # nobody there would answer
        if _take_mail(handles, watch):
            last_sign = time.monotonic()
        if not running.symptoms and time.monotonic() - last_sign > watch.stall_s:
            found.append(Symptom(kind="stalled", text=f"no sign of life for {watch.stall_s:.0f} s"))
        if watch.notice.given and not noticed:
            noticed = True
            for handle in handles:
                handle.signal(signal.SIGTERM)
        if job.stop_file is not None and not stopped and job.stop_file.exists():
            stopped = True
            for handle in handles:
                handle.stop()
        running.see(found)
        running.end_if_due()
    _take_mail(handles, watch)
    for future in futures:
        watch.meter.note(future.result().used)
    return running.ended_badly() + running.symptoms


def _take_mail(handles: Sequence[HostHandle], watch: GroupWatch) -> bool:
    reports = [report for handle in handles for report in handle.drain()]
    for report in reports:
        watch.on_report(report)
    return bool(reports)


def _tasks(job: WorkerJob, places: Sequence[Where]) -> list[RankTask]:
    """What each rank gets. They meet in a file that only we can open, or, on several machines, at a port of rank 0."""
    first, together = places[0], len({place.machine for place in places}) == 1
    meeting = f"{job.run_id}-{job.epoch}-{job.attempt}"
    if together:
        rendezvous = (first.folder / f"meeting-{meeting}").as_uri()
    else:
        rendezvous = f"tcp://{first.address}:{first.free_port}"
    job = replace(job, rendezvous=rendezvous)
    return [
        RankTask(
            job=job,
            rank=rank,
            world_size=len(places),
            local_rank=0 if place.own_device else rank,
            on_one_machine=together,
        )
        for rank, place in enumerate(places)
    ]
