"""What the command line does with the embedded stack: bring it up, look at it, take it down."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

from ropewalk.bus.wire import Address
from ropewalk.local.credentials import Credentials, read_credentials
from ropewalk.local.curl import curl_command
from ropewalk.local.errors import StackNotRunningError, StackStartError
from ropewalk.local.layout import Layout
from ropewalk.local.lock import READY_TIMEOUT_S, holder
from ropewalk.local.logfiles import open_log, tail_lines
from ropewalk.local.names import OPERATOR, PROCESS_MARKER, SERVICES, SUPERVISOR, SYSTEM_USER
from ropewalk.local.observe import observe
from ropewalk.local.state import Endpoints, StackState, read_state, write_state
from ropewalk.local.supervision.processes import cpu_seconds, kill_leftovers, resident_bytes, stack_processes
from ropewalk.local.upgrading import refuse_way_back
from ropewalk.runtime.plain_folder import remove_plain_folder
from ropewalk.status.problems import Problem, problems_of
from ropewalk.status.seen import ProcessState, Seen

_POLL_S = 0.1
_LAUNCH_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 60.0

OnState = Callable[[StackState], None]


@dataclass(frozen=True, kw_only=True)
class ProcessUsage:
    """A process of the stack with what it and its descendants use. `cpu_percent` is of one core."""

    state: ProcessState
    cpu_percent: float
    rss_bytes: int
    num_processes: int


@dataclass(frozen=True, kw_only=True)
class StackStatus:
    """Everything `ropewalk status` shows."""

    state: StackState
    endpoints: Endpoints
    demo_key: str
    sql_token: str
    curl: str
    usage: tuple[ProcessUsage, ...]
    seen: Seen

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, the worst first."""
        return problems_of(self.seen)


def running_state(layout: Layout) -> StackState:
    """The state of the living stack. Raises StackNotRunningError."""
    state = read_state(layout.stack_file)
    if state is None or state.supervisor_pid != holder(layout):
        raise StackNotRunningError
    return state


def is_up(layout: Layout) -> bool:
    """Whether a supervisor lives and has everything ready."""
    state = read_state(layout.stack_file)
    return state is not None and state.phase == "ready" and state.supervisor_pid == holder(layout)


def bring_up(layout: Layout, watch: OnState) -> StackState:
    """Start the stack if nothing supervises the folder, and wait until all of it is ready.

    `watch` sees the state several times a second. Raises StackStartError.
    """
    layout.create()
    if not holder(layout):
        refuse_way_back(layout)
        _forget_problem(layout)
        _launch_supervisor(layout)
    deadline = time.monotonic() + 2 * READY_TIMEOUT_S  # the broker first, then everything else
    grace = time.monotonic() + _LAUNCH_TIMEOUT_S
    while time.monotonic() < deadline:
        state, pid = read_state(layout.stack_file), holder(layout)
        if state is not None and state.problem:
            raise StackStartError(state.problem)
        if state is not None and pid == state.supervisor_pid:
            watch(state)
            if state.phase == "ready":
                return state
        elif not pid and time.monotonic() > grace:
            break
        time.sleep(_POLL_S)
    raise StackStartError(_last_words(layout))


def take_down(layout: Layout) -> int:
    """Stop the stack and whatever is left of one. Returns how many leftovers had to be killed."""
    pid = holder(layout)
    if pid:
        os.kill(pid, signal.SIGTERM)
        _wait_until_released(layout, pid)
    leftovers = kill_leftovers(layout.state_dir)
    layout.remove_ray()
    remove_plain_folder(layout.state_dir, "triton")
    return leftovers


def measure(layout: Layout, over_s: float = 0.3) -> StackStatus:
    """The stack, what is wrong with it, and its use of CPU over a short while. Raises StackNotRunningError."""
    state = running_state(layout)
    credentials = read_credentials(layout.credentials_file)
    endpoints = _with_secret(state.endpoints, credentials)
    by_name = _by_process(layout)
    before, began = _cpu_seconds(by_name), time.monotonic()
    password = credentials.system_password if credentials else ""
    system = Address(url=state.endpoints.nats, user=SYSTEM_USER, password=password)
    services = tuple(process.service for process in state.processes if process.service in SERVICES)
    seen = observe(layout, state, Address(url=endpoints.nats), system, services)
    time.sleep(max(0.0, over_s - (time.monotonic() - began)))
    after, lasted_s = _cpu_seconds(by_name), time.monotonic() - began
    supervisor = ProcessState(service=SUPERVISOR, pid=state.supervisor_pid, status="ready")
    usage = tuple(
        ProcessUsage(
            state=process,
            cpu_percent=100 * max(0.0, after.get(process.service, 0.0) - before.get(process.service, 0.0)) / lasted_s,
            rss_bytes=resident_bytes(by_name.get(process.service, [])),
            num_processes=len(by_name.get(process.service, [])),
        )
        for process in (supervisor, *state.processes)
    )
    return StackStatus(
        state=state,
        endpoints=endpoints,
        demo_key=credentials.demo_key if credentials else "",
        sql_token=credentials.clickhouse_token if credentials else "",
        curl=curl_command(layout),
        usage=usage,
        seen=seen,
    )


def _with_secret(endpoints: Endpoints, credentials: Credentials | None) -> Endpoints:
    """With the bus as NATS clients take it, in one string."""
    if credentials is None:
        return endpoints
    nats = endpoints.nats.replace("nats://", f"nats://{OPERATOR}:{credentials.nats_password}@")
    return endpoints.model_copy(update={"nats": nats})


def _cpu_seconds(by_name: Mapping[str, list[psutil.Process]]) -> dict[str, float]:
    return {name: cpu_seconds(members) for name, members in by_name.items()}


def _by_process(layout: Layout) -> dict[str, list[psutil.Process]]:
    members: dict[str, list[psutil.Process]] = {}
    state = running_state(layout)
    members[SUPERVISOR] = [psutil.Process(state.supervisor_pid)]
    for process in stack_processes(layout.state_dir):
        try:
            members.setdefault(process.environ()[PROCESS_MARKER], []).append(process)
        except (psutil.Error, OSError, KeyError):  # it ended meanwhile: then it has no environment any more
            continue
    return members


def _forget_problem(layout: Layout) -> None:
    """The last start may have failed; its ports stay the preferred ones."""
    state = read_state(layout.stack_file)
    if state is not None:
        write_state(layout.stack_file, state.model_copy(update={"supervisor_pid": 0, "problem": ""}))


def _launch_supervisor(layout: Layout) -> None:
    from ropewalk.local.settings import inherited_environment  # imports what only a start needs

    with open_log(layout.log_of(SUPERVISOR)) as log:
        launched = subprocess.run(
            [sys.executable, "-m", "ropewalk.local.supervision.supervisor", str(layout.state_dir)],
            env=dict(inherited_environment()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        )
    if launched.returncode:
        raise StackStartError(_last_words(layout))


def _wait_until_released(layout: Layout, pid: int) -> None:
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while holder(layout) == pid:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(_POLL_S)


def _last_words(layout: Layout) -> str:
    lines = [line for line in tail_lines(layout.log_of(SUPERVISOR), 20) if line.strip()]
    said = f"; it last said: {lines[-1]}" if lines else ""
    return f"the supervisor ended before the stack was ready{said} (whole log: {layout.log_of(SUPERVISOR)})"
