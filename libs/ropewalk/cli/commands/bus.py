"""`bus`: bring a server in line with the contract, show where it is not, show who is behind."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer

from ropewalk.admin.access import SUPERVISOR
from ropewalk.admin.topology import apply_topology
from ropewalk.admin.topology import drift as find_drift
from ropewalk.bus.bulk import address_of
from ropewalk.bus.wire import Wire
from ropewalk.cli.connecting import bus_of, settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.deployment import queues_view
from ropewalk.cli.screens.terminal import console, print_json, say
from ropewalk.local.upgrading import stream_changes
from ropewalk.status.look import queues

app = typer.Typer(name="bus", help="The streams and consumers of the event log.", no_args_is_help=True)


@app.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Create or update every stream and consumer and report what changed. `ropewalk up` does it for the embedded stack.

    Example: ROPEWALK_NATS_URL=nats://nats:4222 ropewalk bus apply
    """
    # Only the supervisor's user may change streams; the operator's may look, as `drift` and `lag` do.
    nats = bus_of(state_dir, SUPERVISOR)
    changes = stream_changes(nats) if dry_run else asyncio.run(apply_topology(nats))
    if as_json:
        print_json({"changes": changes})
    else:
        _say_each(changes)


@app.command()
def drift(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List every difference between the server and the contract: missing, changed, unknown. Exit 1 if there is one.

    Example: ropewalk bus drift
    """
    found = asyncio.run(find_drift(bus_of(state_dir)))
    if as_json:
        print_json({"differences": [asdict(difference) for difference in found]})
    else:
        _say_each(map(str, found))
    raise typer.Exit(1 if found else 0)


@app.command()
def lag(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show how far every consumer is behind: waiting, in hands, delivered again, age of the oldest in seconds.

    Example: ropewalk bus lag
    """
    with Wire(address_of(settings_of(state_dir).nats)) as wire:
        rows = list(queues(wire))
    if as_json:
        print_json({"consumers": [asdict(row) for row in rows]})
    else:
        console.print(queues_view(rows, "stream"))


def _say_each(sentences: Iterable[str]) -> None:
    for sentence in list(sentences) or ["every stream and consumer is as it should be"]:
        say(sentence)
