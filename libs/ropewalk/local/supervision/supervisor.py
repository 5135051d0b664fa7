"""The supervisor: one background process per state folder that keeps all others alive.

It holds no truth. Killed with -9, its direct children die with it; the next start ends what is left and goes on.
Run as `python -m ropewalk.local.supervision.supervisor STATE_DIR`.
"""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from ropewalk.admin.access import SUPERVISOR
from ropewalk.admin.topology import apply_topology
from ropewalk.errors import RopewalkError
from ropewalk.local.broker.config import write_bus_config
from ropewalk.local.credentials import ensure_credentials
from ropewalk.local.curl import write_curl_config
from ropewalk.local.env import bus_settings
from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.lock import READY_TIMEOUT_S, held
from ropewalk.local.names import SERVICES
from ropewalk.local.port_claims import PortClaims
from ropewalk.local.ports import Ports, choose_ports
from ropewalk.local.state import StackState, endpoints_of, read_state, write_state
from ropewalk.local.supervision.commands import StackPlan, broker, engines_and_services, with_free_ports
from ropewalk.local.supervision.probes import ServicePings
from ropewalk.local.supervision.process import SupervisedProcess
from ropewalk.local.supervision.processes import kill_leftovers
from ropewalk.local.supervision.spec import ProcessSpec
from ropewalk.local.upgrading import record_release
from ropewalk.runtime.own_folder import make_own_folder
from ropewalk.runtime.plain_folder import remove_plain_folder
from ropewalk.runtime.settings import StorageSettings
from ropewalk.runtime.shared_memory import shared_memory_prefix, sweep_shared_memory

logger = logging.getLogger(__name__)


class Supervisor:
    """Starts the groups in order, restarts what dies, stops everything in reverse."""

    def __init__(self, plan: StackPlan) -> None:
        self._plan = plan
        self._pings = ServicePings(bus_settings(SUPERVISOR, plan.layout, plan.ports))
        self._groups: list[list[SupervisedProcess]] = []
        self._state = StackState(
            supervisor_pid=os.getpid(),
            state_dir=str(plan.layout.state_dir),
            ports=plan.ports,
            endpoints=endpoints_of(plan.ports),
            objects_url=StorageSettings().url,
            processes=(),
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. A stack that cannot start is stopped, with the reason in its state."""
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        starting = asyncio.create_task(self._start())
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        problem = _problem_of(starting)
        if not problem:
            await waiting
        waiting.cancel()
        starting.cancel()
        await asyncio.gather(starting, waiting, return_exceptions=True)
        await self._stop(problem)

    async def _start(self) -> None:
        make_own_folder(self._plan.layout.ray_home)
        await self._start_group(broker(self._plan))
        await apply_topology(bus_settings(SUPERVISOR, self._plan.layout, self._plan.ports))
        await self._start_group(*engines_and_services(self._plan, self._pings))
        self._write(phase="ready")

    async def _start_group(self, *specs: ProcessSpec) -> None:
        group = [SupervisedProcess(spec, self._plan.layout, self._write) for spec in specs]
        for process in group:
            process.renew = self._renewed
        self._groups.append(group)
        self._write()
        for process in group:
            process.start()
        await asyncio.gather(*(process.wait_ready(READY_TIMEOUT_S) for process in group))

    def _renewed(self, spec: ProcessSpec) -> ProcessSpec:
        """The same process, on other ports if somebody else has taken its own."""
        plan = with_free_ports(self._plan, spec.name)
        if plan.ports == self._plan.ports:
            return spec
        logger.warning("%s moves: another program has taken a port of it", spec.name)
        self._plan = plan
        write_curl_config(plan.layout, plan.ports, plan.credentials)
        self._write(ports=plan.ports, endpoints=endpoints_of(plan.ports))
        return next(renewed for renewed in engines_and_services(plan, self._pings) if renewed.name == spec.name)

    async def _stop(self, problem: str) -> None:
        self._write(phase="stopping", problem=problem)
        await self._pings.close()
        for group in reversed(self._groups):
            # Engines last: workers of a training are processes of Ray, and save before they leave.
            for services in (True, False):
                leaving = [process for process in group if (process.spec.name in SERVICES) is services]
                await asyncio.gather(*(process.stop() for process in leaving))
        kill_leftovers(self._plan.layout.state_dir)
        sweep_shared_memory(shared_memory_prefix(self._plan.layout.state_dir))
        self._plan.layout.remove_ray()
        remove_plain_folder(self._plan.layout.state_dir, "triton")  # made at every start
        if problem:
            self._write(phase="failed")
        else:
            self._plan.layout.stack_file.unlink(missing_ok=True)

    def _write(self, **changes: object) -> None:
        processes = tuple(process.state for group in self._groups for process in group)
        self._state = self._state.model_copy(update={"processes": processes, **changes})
        try:
            write_state(self._plan.layout.stack_file, self._state)
        except OSError as error:  # a full disk must not end the supervision; the next change is written again
            logger.warning("the state of the stack is not written: %s", error)


def prepare(layout: Layout) -> StackPlan:
    """Repair what a killed stack left, then choose ports and secrets. Raises LocalError, OSError."""
    kill_leftovers(layout.state_dir)
    record_release(layout)
    layout.remove_ray()
    credentials = ensure_credentials(layout.credentials_file)
    previous = read_state(layout.stack_file)
    claims = PortClaims()
    ports = choose_ports(previous.ports if previous else Ports(), claims)
    write_bus_config(layout, ports, credentials)
    write_curl_config(layout, ports, credentials)
    return StackPlan(layout=layout, ports=ports, credentials=credentials, claims=claims)


def _problem_of(starting: asyncio.Task[None]) -> str:
    """Why the start failed, in words; empty while it has not."""
    if not starting.done():
        return ""
    match starting.exception():
        case None:
            return ""
        case RopewalkError() as error:
            return str(error)
        case error:
            return f"the stack could not start: {type(error).__name__}: {error}"


def main() -> None:
    """Supervise the state folder named by the first argument, in the background: the caller returns at once."""
    os.umask(0o077)  # of everything below: what any process of the stack writes is for its owner only
    layout = layout_of(Path(sys.argv[1]))
    layout.create()
    if os.fork():
        return
    with held(layout):
        asyncio.run(Supervisor(prepare(layout)).run())


if __name__ == "__main__":
    main()
