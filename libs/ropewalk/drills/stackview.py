"""The stack's processes as a drill needs them: which is where, who answers, a second instance of one."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import nats.errors
import psutil
from nats.aio.client import Client
from nats.aio.msg import Msg

from ropewalk.drills.errors import NotPreparedError
from ropewalk.local.keeping import Keeper
from ropewalk.local.layout import Layout
from ropewalk.local.logfiles import open_log
from ropewalk.local.names import PROCESS_MARKER, SERVICES
from ropewalk.local.supervision.probes import is_bound
from ropewalk.local.supervision.processes import die_with_parent
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.status.seen import ProcessState

BROKER = "nats-server"
_LOOK_S = 0.1
_ANSWER_S = 0.5
_STOP_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A running process: how it calls itself on the bus, its command and its environment.

    `kept_as` is its number for whoever starts it again, 0 if nobody does; `name` is that of its process in the stack.
    """

    name: str = ""
    pid: int
    kept_as: int = 0
    command: tuple[str, ...] = ()
    environment: Mapping[str, str]

    @property
    def beyond_the_lease_s(self) -> float:
        """Longer than its leases live without a renewal."""
        default = RuntimeSettings.model_fields["lease_ttl_s"].default
        return 1.5 * float(self.environment.get("ROPEWALK_LEASE_TTL_S", default))


def services(keeper: Keeper) -> tuple[str, ...]:
    """The names of the stack's services. Raises LocalError if nothing runs."""
    return tuple(each.service for each in keeper.states() if each.service in SERVICES)


def process(keeper: Keeper, name: str) -> ProcessState:
    """What the keeper says of a process. Raises NotPreparedError if there is none of that name."""
    found = keeper.states()
    for each in found:
        if each.service == name:
            return each
    raise NotPreparedError(
        f"service {name!r} is not part of this stack: choose one of {', '.join(each.service for each in found)}"
    )


def ready_process(keeper: Keeper, name: str) -> ProcessState:
    """A process that is up and well. Raises NotPreparedError."""
    state = process(keeper, name)
    if state.status != "ready" or not state.pid:
        raise NotPreparedError(f"{name} is {state.status}: wait until `ropewalk status` shows it ready")
    return state


def instance(pid: int, name: str = "") -> Instance:
    """A process of this machine by its number. Raises NotPreparedError if it has ended."""
    try:
        found = psutil.Process(pid)
        command, environment = tuple(found.cmdline()), found.environ()
    except psutil.Error as error:
        raise NotPreparedError(f"process {pid} cannot be looked at: {error}") from None
    return Instance(name=name, pid=pid, kept_as=pid, command=command, environment=environment)


async def restarted(keeper: Keeper, hit: Instance, patience_s: float) -> tuple[float | None, float | None]:
    """Seconds until the keeper noticed the end of a process, and until its successor was ready."""
    began = asyncio.get_running_loop().time()
    noticed_s: float | None = None
    while (waited_s := asyncio.get_running_loop().time() - began) < patience_s:
        # In a thread: a container engine takes its time, and probes are sent meanwhile.
        state = await asyncio.to_thread(process, keeper, hit.name)
        if noticed_s is None and state.pid != hit.kept_as:
            noticed_s = waited_s
        if state.pid not in (0, hit.kept_as) and state.status == "ready":
            return noticed_s, waited_s
        await asyncio.sleep(_LOOK_S)
    return noticed_s, None


async def answering(connection: Client, service: str) -> set[int]:
    """The process ids of the instances that answer a ping in time."""
    found: set[int] = set()

    async def note(reply: Msg) -> None:
        said = json.loads(reply.data or b"{}")
        # Every instance answers a ping, so one question counts them all.
        found.add(int(said.get("pid", 0)) if said.get("bound") else 0)

    with contextlib.suppress(nats.errors.Error):  # the broker may be away
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox, cb=note)
        await connection.publish(f"ctl.ping.{service}", b"", reply=inbox)
        await asyncio.sleep(_ANSWER_S)
        await subscription.unsubscribe()
    return found - {0}


async def answers(connection: Client, service: str, pid: int, patience_s: float) -> bool:
    """Whether one instance answers a ping within the patience; 0 stands for any instance."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while asyncio.get_running_loop().time() < deadline:
        if pid in await answering(connection, service) if pid else await _anybody(connection, service):
            return True
    return False


async def _anybody(connection: Client, service: str) -> bool:
    found = await is_bound(connection, service, _ANSWER_S)
    if not found:
        await asyncio.sleep(_LOOK_S)
    return found


def send(pid: int, number: signal.Signals, *, with_children: bool = False) -> bool:
    """A signal to a process, or to the whole group that it leads. False if it has ended."""
    try:
        if with_children and os.getpgid(pid) == pid:
            # Its children too: a service that sleeps while its child works would not be asleep.
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def may_run_twice(running: Instance) -> bool:
    """Whether a second instance would not want the ports of the first."""
    try:
        listening = psutil.Process(running.pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return not any(each.status == psutil.CONN_LISTEN and each.laddr.port in _ports_of(running) for each in listening)


@asynccontextmanager
async def second_instance(
    layout: Layout, name: str, first: Instance, changes: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another instance of a service with the environment of the first; it is stopped at the end, and dies with us."""
    environment = {**first.environment, PROCESS_MARKER: f"drill-{name}", **changes}
    with open_log(layout.log_of(f"drill-{name}")) as log:
        second = await asyncio.create_subprocess_exec(
            *first.command,
            env=environment,
            cwd=layout.logs,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        yield second
    finally:
        await _end(second)


def _ports_of(running: Instance) -> set[int]:
    """Ports that its environment fixes; ports that it chose itself are in nobody's way."""
    return {int(value) for name, value in running.environment.items() if name.endswith("_PORT") and value.isdigit()}


async def _end(running: asyncio.subprocess.Process) -> None:
    if running.returncode is not None:
        return
    running.terminate()
    try:
        await asyncio.wait_for(running.wait(), _STOP_S)
    except TimeoutError:
        send(running.pid, signal.SIGKILL)
        await running.wait()
