"""`bus apply`: bring the streams of a server in line with the contract."""

import asyncio

import typer

from ropewalk.cli.app import AsJson, StateDir, app, console, print_json, settings_of
from ropewalk.runtime.topology import apply_topology

bus = typer.Typer(help="The streams of the event log.", no_args_is_help=True)
app.add_typer(bus, name="bus")


@bus.callback()
def group() -> None:
    """The streams of the event log.

    Example: ropewalk bus apply
    """


@bus.command()
def apply(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Create or update every stream and report what changed. `ropewalk up` does it for the embedded stack.

    Example: ROPEWALK_NATS_URL=nats://nats:4222 ropewalk bus apply
    """
    changes = asyncio.run(apply_topology(settings_of(state_dir).nats))
    if as_json:
        print_json({"changes": changes})
        return
    for change in changes:
        console.print(change, markup=False)
    if not changes:
        console.print("every stream is as it should be")
