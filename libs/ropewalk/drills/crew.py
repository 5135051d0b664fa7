"""What a drill may do to the processes of a stack, whoever keeps them: a supervisor on this machine, or docker."""

import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ropewalk.drills.stackview import Instance, instance, may_run_twice, ready_process, send
from ropewalk.local.credentials import read_credentials
from ropewalk.local.keeping import Keeper, Supervised
from ropewalk.local.layout import Layout
from ropewalk.local.supervision.processes import stack_processes


class Crew(Protocol):
    """The processes of one stack, and what can befall them."""

    @property
    def keeper(self) -> Keeper:
        """Who starts them again."""
        ...

    def instance(self, name: str) -> Instance:
        """A process that is up and well. Raises NotPreparedError."""
        ...

    def worker(self, pid: int) -> Instance | None:
        """The training worker of that number, as it calls itself; None if it is out of reach."""
        ...

    def internal_key(self) -> str:
        """The key of the endpoint whose requests no report counts; empty if there is none."""
        ...

    async def kill(self, hit: Instance) -> None:
        """SIGKILL."""
        ...

    def asleep(self, hit: Instance) -> AbstractAsyncContextManager[None]:
        """The process and its children sleep while inside; they wake up whatever happens."""
        ...

    def may_run_twice(self, hit: Instance) -> bool:
        """Whether the drill can start a second instance beside it."""
        ...


class OnThisMachine:
    """The processes of an embedded stack."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.keeper: Keeper = Supervised(layout)

    def instance(self, name: str) -> Instance:
        """See Crew."""
        return instance(ready_process(self.keeper, name).pid, name)

    def worker(self, pid: int) -> Instance | None:
        """See Crew."""
        return instance(pid) if pid in {each.pid for each in stack_processes(self._layout.state_dir)} else None

    def internal_key(self) -> str:
        """See Crew."""
        credentials = read_credentials(self._layout.credentials_file)
        return credentials.internal_key if credentials else ""

    async def kill(self, hit: Instance) -> None:
        """See Crew."""
        send(hit.pid, signal.SIGKILL)

    @contextlib.asynccontextmanager
    async def asleep(self, hit: Instance) -> AsyncIterator[None]:
        """See Crew."""
        send(hit.pid, signal.SIGSTOP, with_children=True)
        try:
            yield
        finally:
            send(hit.pid, signal.SIGCONT, with_children=True)

    def may_run_twice(self, hit: Instance) -> bool:
        """See Crew."""
        return may_run_twice(hit)
