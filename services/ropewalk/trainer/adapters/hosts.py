"""The hosts of a group, wherever they are: what a group asks of them, and hosts in threads of this process."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from ropewalk.errors import RopewalkError
from ropewalk.trainer.adapters.host import Host
from ropewalk.trainer.adapters.rank_task import Ended, RankTask, Where
from ropewalk.trainer.adapters.worker.job import WorkerReport
from ropewalk.trainer.domain.recovery import Symptom
from ropewalk.trainer.domain.sight import Sight


class HostsLostError(RopewalkError):
    """There is no place for the workers just now. The text says why."""


class HostHandle(Protocol):
    """One host. Only `where` raises: HostsLostError; a host that is lost ends its future with a symptom."""

    def where(self) -> Where:
        """See Host."""

    def run(self, task: RankTask) -> Future[Ended]:
        """Begin; see Host."""

    def drain(self) -> list[WorkerReport]:
        """See Host; nothing if the host is lost."""

    def signal(self, number: int) -> None:
        """See Host; does not wait."""

    def stop(self) -> None:
        """See Host; does not wait."""

    def sight(self) -> Sight | None:
        """See Host; None also if the host does not answer."""

    def stacks(self) -> str:
        """See Host."""

    def machine_answers(self) -> bool:
        """Whether its machine is there, for a host that says nothing. Takes seconds."""

    def close(self) -> None:
        """End it and what it runs, also when it does not answer."""


class Hosts(Protocol):
    """Where the workers of a job run."""

    def ready(self) -> Sequence[HostHandle]:
        """One host for each rank; those that are lost are replaced. Raises HostsLostError."""

    def wrong(self) -> Sequence[Symptom]:
        """What is wrong with the ground that they stand on; asked for several times a second."""

    def renew(self) -> None:
        """Give up everything, so that `ready` begins anew."""


class LocalHosts:
    """Hosts on this machine without Ray. Use as a context manager."""

    def __init__(self, num_workers: int, strategy: str, scratch: Path) -> None:
        self._num_workers, self._strategy, self._scratch = num_workers, strategy, scratch
        self._handles: list[_LocalHost] = []

    def __enter__(self) -> "LocalHosts":
        return self

    def __exit__(self, *_: object) -> None:
        self.renew()

    def ready(self) -> Sequence[HostHandle]:
        """See Hosts."""
        self._handles = [handle for handle in self._handles if not handle.closed]
        while len(self._handles) < self._num_workers:
            self._handles.append(_LocalHost(Host(self._strategy, self._scratch)))
        return self._handles

    def wrong(self) -> Sequence[Symptom]:
        """See Hosts."""
        return ()

    def renew(self) -> None:
        """See Hosts."""
        for handle in self._handles:
            handle.close()
        self._handles = []


class _LocalHost:
    def __init__(self, host: Host) -> None:
        self._host, self.closed = host, False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="host")
        self.where, self.drain, self.signal = host.where, host.drain, host.signal
        self.sight, self.stacks, self.stop = host.sight, host.stacks, host.stop

    def run(self, task: RankTask) -> Future[Ended]:
        return self._thread.submit(self._host.run, task)

    def machine_answers(self) -> bool:
        return True  # it is ours

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._host.close()
        self._thread.shutdown(wait=True)
        self._host.remove()
