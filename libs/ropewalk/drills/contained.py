"""What a drill may do to the containers of a compose project, with no more rights than docker itself gives.

Everything takes the third of a second that docker needs, which the times of a scorecard hold.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.stackview import Instance, ready_process
from ropewalk.local.containers import Containers, ContainersError
from ropewalk.local.keeping import Keeper

_WORKER = "ray-worker"
_PROGRAM = "ropewalk.trainer"  # is in the command line of each training worker


class Contained:
    """The containers of a compose project. See Crew."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self.keeper: Keeper = containers

    def instance(self, name: str) -> Instance:
        """See Crew."""
        state = ready_process(self.keeper, name)
        inside, environment = self._containers.main_process(name), self._containers.environment(name)
        return Instance(name=name, pid=inside, kept_as=state.pid, environment=environment)

    def worker(self, pid: int) -> Instance | None:
        """See Crew. Each container numbers its processes anew, so two may have one of that number."""
        found = [name for name in self._containers.names() if name.startswith(_WORKER) and self._trains(name, pid)]
        if len(found) > 1:
            raise NotPreparedError(f"process {pid} is a training worker in each of {', '.join(found)}: try again later")
        return Instance(name=found[0], pid=pid, environment={}) if found else None

    def internal_key(self) -> str:
        """See Crew."""
        return self._containers.environment("serving").get("ROPEWALK_SERVING_INTERNAL_KEY", "")

    async def kill(self, hit: Instance) -> None:
        """See Crew. With everything that runs in its container, unless nobody would start it again."""
        await asyncio.to_thread(self._containers.kill, hit.name, -1 if hit.kept_as else hit.pid)

    @contextlib.asynccontextmanager
    async def asleep(self, hit: Instance) -> AsyncIterator[None]:
        """See Crew."""
        with self._containers.paused(hit.name):
            yield

    @contextlib.asynccontextmanager
    async def cut_off(self, hit: Instance) -> AsyncIterator[None]:
        """The container has no network while inside."""
        with self._containers.cut_off(hit.name):
            yield

    def may_run_twice(self, hit: Instance) -> bool:
        """See Crew: a drill adds no containers."""
        return False

    def _trains(self, name: str, pid: int) -> bool:
        try:
            return _PROGRAM in self._containers.run(name, f"cat /proc/{pid}/cmdline")
        except ContainersError:  # there is no such process
            return False
