"""`up`, `down`, `status`, `logs`: the embedded stack."""

import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ropewalk.cli.app import AsJson, StateDir, app, console, layout, print_json
from ropewalk.local.commands import PROCESSES
from ropewalk.local.errors import UnknownProcessError
from ropewalk.local.logfiles import new_text, tail_lines
from ropewalk.local.ports import moved_ports
from ropewalk.local.problems import Problem, what_waits
from ropewalk.local.stack import SUPERVISOR, StackStatus, bring_up, is_up, measure, running_state, take_down
from ropewalk.local.state import StackState

_MARKS = {"ready": "[green]●[/]", "starting": "[yellow]◐[/]", "backing off": "[red]○[/]", "waiting": "[dim]·[/]"}
_FOLLOW_S = 0.25
_MIB = 1024**2


@app.command()
def up(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Start the embedded stack and leave it running.

    Example: ropewalk up
    """
    place = layout(state_dir)
    if is_up(place):
        state, note = running_state(place), "the stack is already running"
    elif as_json or not console.is_terminal:
        state, note = bring_up(place, lambda _: None), "the stack is ready"
    else:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            state = bring_up(place, lambda state: live.update(starting_view(state)))
        note = "the stack is ready"
    if as_json:
        print_json(state.model_dump(mode="json"))
        return
    console.print(f"[green]✓[/] {note}")
    console.print(endpoints_view(state))


@app.command()
def down(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Stop the stack; no process stays behind. Unfinished runs continue at the next `ropewalk up`.

    Example: ropewalk down
    """
    place = layout(state_dir)
    was_up = place.stack_file.exists()
    leftovers = take_down(place)
    if as_json:
        print_json({"was_running": was_up, "leftovers_killed": leftovers})
        return
    console.print("[green]✓[/] the stack is down" if was_up or leftovers else "the stack was not running")


@app.command()
def status(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show endpoints and processes of the running stack, and what is wrong with it.

    Example: ropewalk status --json
    """
    measured = measure(layout(state_dir))
    if as_json:
        print_json(status_json(measured))
        return
    console.print(endpoints_view(measured.state))
    console.print(processes_view(measured))
    console.print(f"API key for the OpenAI endpoint: {measured.demo_key}", markup=False)
    for problem in measured.problems:
        console.print(problem_view(problem), soft_wrap=True)
    if not measured.problems:
        console.print("[green]✓[/] nothing is wrong")


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help=f"One of: {', '.join((SUPERVISOR, *PROCESSES))}.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines to begin with.")] = 50,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of one process of the stack.

    Example: ropewalk logs trainer -f
    """
    if service not in (SUPERVISOR, *PROCESSES):
        known = ", ".join((SUPERVISOR, *PROCESSES))
        raise UnknownProcessError(f"there is no process {service!r} in the stack: choose one of {known}")
    path = layout(state_dir).log_of(service)
    begin = tail_lines(path, lines)
    if as_json:
        print_json({"service": service, "path": str(path), "lines": begin})
        return
    position = path.stat().st_size if path.exists() else 0
    for line in begin:
        console.print(line, markup=False, soft_wrap=True)
    while follow:
        for text, end in new_text(path, position):
            sys.stdout.write(text)
            sys.stdout.flush()
            position = end
        time.sleep(_FOLLOW_S)


def starting_view(state: StackState) -> Table:
    """The progress of a start, one line per process."""
    table = Table.grid(padding=(0, 1))
    for process in state.processes:
        note = process.detail or ("" if process.status == "ready" else process.status)
        table.add_row(_MARKS.get(process.status, "·"), process.service, f"[dim]{note}[/]")
    return table


def endpoints_view(state: StackState) -> Group:
    """Where to connect, and which ports are not the usual ones."""
    table = Table.grid(padding=(0, 2))
    for name, address in state.endpoints.model_dump().items():
        table.add_row(f"  {name}", f"[bold]{address}[/]")
    table.add_row("  state folder", state.state_dir)
    notes = [
        Text(f"  port {usual} for {name} was taken, {chosen} is used instead", style="yellow")
        for name, (usual, chosen) in moved_ports(state.ports).items()
    ]
    return Group(table, *notes)


def processes_view(measured: StackStatus) -> Table:
    """What runs, with its use of CPU and memory."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("service", "pid", "status", "restarts", "cpu %", "MiB"):
        table.add_column(heading, justify="left" if heading in ("service", "status") else "right")
    for use in measured.usage:
        process = use.state
        numbers = (str(process.restarts), f"{use.cpu_percent:.0f}", f"{use.rss_bytes / _MIB:.0f}")
        mark = f"{_MARKS.get(process.status, '·')} {process.status}"
        table.add_row(process.service, str(process.pid or "-"), mark, *numbers)
    total = sum(use.rss_bytes for use in measured.usage) / _MIB
    table.add_row("all", "", "", "", f"{sum(use.cpu_percent for use in measured.usage):.0f}", f"{total:.0f}")
    return table


def problem_view(problem: Problem) -> Text:
    """The cause and, on the next line, the remedy."""
    mark, style = ("✗ ", "red") if problem.severity == "error" else ("! ", "yellow")
    return Text.assemble((mark, style), problem.what, "\n  → ", (problem.remedy, "bold"))


def problem_json(problem: Problem) -> dict[str, Any]:
    """`kind` is for programs and stays, the sentences are for people and may change."""
    since = datetime.fromtimestamp(problem.since, UTC).isoformat(timespec="seconds") if problem.since else None
    return {**asdict(problem), "since": since}


def status_json(measured: StackStatus) -> dict[str, Any]:
    """The documented form of `ropewalk status --json`."""
    return {
        "endpoints": measured.endpoints.model_dump(),
        "state_dir": measured.state.state_dir,
        "demo_key": measured.demo_key,
        "phase": measured.state.phase,
        "problems": [problem_json(problem) for problem in measured.problems],
        "waiting": asdict(what_waits(measured.seen)),
        "ports": measured.state.ports.model_dump(),
        "processes": [
            {
                "service": use.state.service,
                "pid": use.state.pid,
                "status": use.state.status,
                "restarts": use.state.restarts,
                "cpu_percent": round(use.cpu_percent, 1),
                "rss_bytes": use.rss_bytes,
            }
            for use in measured.usage
        ],
    }
