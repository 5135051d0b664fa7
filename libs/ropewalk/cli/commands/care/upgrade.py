"""`upgrade`: what another release will change, and in which order to go about it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from ropewalk.cli.connecting import bus_of
from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.terminal import complain, done, print_json, say
from ropewalk.cli.settings import named_bus
from ropewalk.client.errors import ClientError
from ropewalk.client.settings import find_settings
from ropewalk.events.foreign import one_line
from ropewalk.local.checkup.stack import tables_version
from ropewalk.local.lock import holder
from ropewalk.local.names import SERVICES
from ropewalk.local.upgrading import Release, Upgrade, our_release, recorded_release, stream_changes
from ropewalk.status.asking import status_of

app = typer.Typer()

_EMBEDDED = (
    "`ropewalk backup FOLDER`",
    "`ropewalk down`",
    "install the new release",
    "`ropewalk up`, which changes streams and tables",
    "`ropewalk doctor`",
)
_REMOTE = (
    "`ropewalk backup FOLDER`, with the supervisor's key",
    "build or pull the images of the new release",
    "stop the services; the bus, the store and ClickHouse stay up",
    "`ropewalk bus apply` with the supervisor's key; in compose the service `streams` does it",
    "start the monitor, which changes the tables, then the others",
    "`ropewalk doctor`",
)


@app.command()
def upgrade(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Say what this release will change in the stack that runs or last ran, and the order to do it in.

    It changes nothing. Exit code 1 if there is no way, because the tables are of a newer release.

    Example: ropewalk upgrade
    """
    found = _looked_at(state_dir)
    steps = _REMOTE if _is_remote(state_dir) else _EMBEDDED
    if as_json:
        print_json(_as_json(found, steps))
    else:
        _show(found, steps)
    raise typer.Exit(1 if found.is_way_back else 0)


def _is_remote(state_dir: Path | None) -> bool:
    return state_dir is None and named_bus() is not None


def _looked_at(state_dir: Path | None) -> Upgrade:
    place = layout(state_dir)
    if not _is_remote(state_dir) and not holder(place):  # down: the folder knows who used it last
        return Upgrade(running=recorded_release(place), ours=our_release())
    settings = find_settings(place.state_dir)
    if bus := named_bus() if _is_remote(state_dir) else None:
        versions = {each.version for each in status_of(bus, SERVICES).seen.services if each.answered}
        told = ", ".join(sorted(versions - {""}))
    else:
        told = recorded_release(place).version
    streams = stream_changes(bus_of(state_dir))
    try:
        tables, unread = tables_version(settings), ""
    except ClientError as error:  # streams and services can be told all the same
        tables, unread = 0, one_line(str(error), 400)
    running = Release(version=told, tables=tables)
    return Upgrade(running=running, ours=our_release(), streams=streams, unread=unread)


def _as_json(found: Upgrade, steps: tuple[str, ...]) -> dict[str, Any]:
    possible = {"possible": not found.is_way_back, "steps": list(steps)}
    return {**asdict(found), "migrations": list(found.tables), **possible}


def _show(found: Upgrade, steps: tuple[str, ...]) -> None:
    running, ours = found.running, found.ours
    say(f"from {running.version or 'a version before 0.2, or none'} to {ours.version}")
    if found.is_way_back:
        done(f"the tables have version {running.tables} and this release knows {ours.tables}", good=False)
        say("  → use the release that made them, or a newer one; there is no way back", style="bold")
        return
    for change in found.streams:
        say(f"  stream: {change}")
    for name in found.tables:
        say(f"  tables: {name}")
    if found.unread:
        complain(f"the tables could not be read, so what will change in them is not known: {found.unread}")
    elif not found.streams and not found.tables:
        say("  no stream and no table is known to change")
    for number, step in enumerate(steps, start=1):
        say(f"{number}. {step}")
