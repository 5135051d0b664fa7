"""`up`, `down`, `logs`: the embedded stack."""

from typing import Annotated

import typer
from rich.live import Live

from ropewalk.cli.exit_codes import INTERRUPTED
from ropewalk.cli.keepers import keeper_of, refuse_elsewhere
from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.status import endpoints_view, moved_sentence, starting_view
from ropewalk.cli.screens.terminal import complain, console, done, print_json, say, write
from ropewalk.events.foreign import cut
from ropewalk.local.keeping import Supervised
from ropewalk.local.layout import Layout
from ropewalk.local.lock import holder
from ropewalk.local.logfiles import LONGEST_LINE
from ropewalk.local.names import PROCESSES, SUPERVISOR
from ropewalk.local.stack import bring_up, is_up, running_state, take_down
from ropewalk.local.state import StackState

app = typer.Typer()

_KNOWN = (SUPERVISOR, *PROCESSES)


@app.command()
def up(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Start the embedded stack and leave it running.

    Example: ropewalk up
    """
    refuse_elsewhere()
    place = layout(state_dir)
    was_up = is_up(place)
    if was_up:
        state, note = running_state(place), "the stack is already running"
    else:
        state, note = _started(place, is_shown=console.is_terminal and not as_json), "the stack is ready"
    if as_json:
        print_json(state.model_dump(mode="json"))
        return
    done(note)
    console.print(endpoints_view(state))
    if not was_up and (moved := moved_sentence(state.ports)):
        say(moved)
    say("next: `ropewalk init FOLDER` writes a recipe for your data, `ropewalk submit RECIPE -f` runs it", style="dim")


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
    if was_up or leftovers:
        done("the stack is down")
    else:
        say("the stack was not running")


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help=f"One of: {', '.join(_KNOWN)}.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines to begin with.")] = 50,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of one process of the stack, embedded or in containers of a compose project.

    Example: ropewalk logs trainer -f
    """
    keeper = keeper_of(state_dir, f"logs --selector app.kubernetes.io/name={service} --tail {lines}")
    if as_json:
        place = {"path": str(layout(state_dir).log_of(service))} if isinstance(keeper, Supervised) else {}
        print_json({"service": service, **place, "lines": [_bounded(each) for each in keeper.lines(service, lines)]})
    elif follow:
        for text in keeper.follow(service, lines):
            write(_bounded(text))
    else:
        for line in keeper.lines(service, lines):
            console.print(_bounded(line), soft_wrap=True)


def _bounded(text: str) -> str:
    """A process may write a line of any length."""
    return "\n".join(cut(line, LONGEST_LINE) for line in text.split("\n"))


def _started(place: Layout, *, is_shown: bool) -> StackState:
    """The stack that was started. Ctrl-C ends the waiting, not the start, and says so."""
    try:
        if not is_shown:
            return bring_up(place, lambda _: None)
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            return bring_up(place, lambda state: live.update(starting_view(state)))
    except KeyboardInterrupt:
        # The supervisor is a process of its own session, so the Ctrl-C of this terminal does not reach it.
        goes_on = "the stack goes on starting: `ropewalk status` shows it, `ropewalk down` stops it"
        complain(goes_on if holder(place) else "interrupted before the stack began to start", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
