"""The stack as text and JSON: while it starts, and as `ropewalk status` finds it."""

from typing import Any

from rich.table import Table
from rich.text import Text

from ropewalk.cli.screens.deployment import bus_json, show_problems
from ropewalk.cli.screens.terminal import Listing, console, print_json, say
from ropewalk.events.foreign import one_line
from ropewalk.local.curl import SQL_USER
from ropewalk.local.ports import Ports, moved_ports
from ropewalk.local.stack import StackStatus
from ropewalk.local.state import StackState

_MARKS = {"ready": ("●", "green"), "starting": ("◐", "yellow"), "backing off": ("○", "red")}
_MIB = 1024**2


def show_status(measured: StackStatus, *, as_json: bool) -> None:
    """Endpoints, processes and, last because it is read first, what is wrong."""
    if as_json:
        print_json(status_json(measured))
        return
    console.print(endpoints_view(measured.state))
    console.print(processes_view(measured))
    say(f"API key for the OpenAI endpoint: {measured.demo_key}")
    say(f"token of the SQL user {SQL_USER}: {measured.sql_token}")
    say(f"  {measured.curl}")
    show_problems(measured.problems)


def endpoints_view(state: StackState) -> Table:
    """Where to connect."""
    table = Table.grid(padding=(0, 2))
    for name, address in state.endpoints.model_dump().items():
        table.add_row(f"  {name}", Text(one_line(str(address)), "bold"))
    table.add_row("  state folder", one_line(state.state_dir))
    return table


def moved_sentence(ports: Ports) -> str:
    """Which ports are not the usual ones, in one line and only when the stack starts; empty if all are."""
    moved = moved_ports(ports).items()
    listed = ", ".join(f"{name} {chosen} instead of {usual}" for name, (usual, chosen) in moved)
    return f"some usual ports were taken, so others are used: {listed}" if listed else ""


def status_mark(status: str) -> Text:
    """A dot whose colour says how a process is."""
    return Text(*_MARKS.get(status, ("·", "dim")))


def starting_view(state: StackState) -> Table:
    """The progress of a start, one line per process."""
    table = Table.grid(padding=(0, 1))
    for process in state.processes:
        note = process.detail or ("" if process.status == "ready" else process.status)
        table.add_row(status_mark(process.status), process.service, Text(one_line(note), "dim"))
    return table


def processes_view(measured: StackStatus) -> Listing:
    """What runs, with its use of CPU and memory."""
    rows: list[tuple[str | Text, ...]] = []
    for use in measured.usage:
        process = use.state
        # Per cent of one core, and resident memory: pages that processes share are counted for each.
        numbers = (str(process.restarts), f"{use.cpu_percent:.0f}", f"{use.rss_bytes / _MIB:.0f}")
        mark = Text.assemble(status_mark(process.status), " ", process.status)
        rows.append((process.service, str(process.pid or "-"), mark, *numbers))
    total = sum(use.rss_bytes for use in measured.usage) / _MIB
    rows.append(("all", "", "", "", f"{sum(use.cpu_percent for use in measured.usage):.0f}", f"{total:.0f}"))
    numbered = ("pid", "restarts", "cpu %", "MiB")
    return Listing(("service", "pid", "status", "restarts", "cpu %", "MiB"), rows, numbers=numbered)


def status_json(measured: StackStatus) -> dict[str, Any]:
    """The documented form of `ropewalk status --json`."""
    return {
        "endpoints": measured.endpoints.model_dump(),
        "state_dir": measured.state.state_dir,
        "demo_key": measured.demo_key,
        "sql_user": SQL_USER,
        "sql_token": measured.sql_token,
        "curl": measured.curl,
        "phase": measured.state.phase,
        **bus_json(measured.seen, measured.problems),
        "ports": measured.state.ports.model_dump(),
        "processes": [
            {
                **{name: getattr(use.state, name) for name in ("service", "pid", "status", "restarts")},
                "cpu_percent": round(use.cpu_percent, 1),
                "rss_bytes": use.rss_bytes,
            }
            for use in measured.usage
        ],
    }
