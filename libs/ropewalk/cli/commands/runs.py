"""`runs`: the newest runs and their state. Asked every minute by people and scripts, so it imports next to nothing."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from ropewalk.bus.wire import Wire, WireError
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.run_list import print_runs
from ropewalk.cli.settings import default_state_dir, find_address
from ropewalk.errors import RopewalkError
from ropewalk.projections.asking import MAX_RUNS, STATUSES, ask_runs

app = typer.Typer()
_TIMEOUT_S = 2.0  # seconds; a broker on this machine answers in milliseconds
_DEFAULT_LIMIT = 20


class UnknownStatusError(RopewalkError):
    """There is no such state of a run."""


@app.command()
def runs(
    run_id: Annotated[list[str] | None, typer.Argument(metavar="[show RUN]", help="`show RUN`: one run.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_RUNS, help="Show at most so many, the newest.")] = _DEFAULT_LIMIT,
    status: Annotated[str, typer.Option(help=f"Only runs that are {', '.join(STATUSES)}.")] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """List the newest runs with their state, and how many there are.

    Example: ropewalk runs --status running --json
    """
    if words := run_id or []:
        # `runs show RUN` is what people type who know `models show`; `ropewalk show RUN` is the command.
        if len(words) != 2 or words[0] != "show":
            raise typer.BadParameter(f"{' '.join(words)!r} is not understood: write `ropewalk runs show RUN`")
        from ropewalk.cli.commands.show import show  # with a client, which a list does not need

        show(words[1], state_dir, as_json)
        return
    if status and status not in STATUSES:
        raise UnknownStatusError(f"--status {status!r} is not known: choose one of {', '.join(STATUSES)}")
    print_runs(_newest(limit, status, state_dir), status, as_json=as_json)


def _newest(limit: int, status: str, state_dir: Path | None) -> dict[str, Any]:
    """Ask the projector over a plain socket. Where that does not do, ask with all means, whose import is slow."""
    address = find_address(state_dir or default_state_dir())
    if address is not None:
        # No monitor answers, or the stack is down: the slow way reads the log itself, or says what is wrong.
        with contextlib.suppress(WireError), Wire(address, _TIMEOUT_S) as wire:
            return ask_runs(wire, limit, status)
    from ropewalk.cli.connecting import settings_of
    from ropewalk.client.log import list_runs, open_log

    with open_log(settings_of(state_dir)) as wire:
        return list_runs(wire, limit, status)
