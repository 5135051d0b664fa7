"""`backup`, `restore`: the log in a folder, and a server from it."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from ropewalk.admin import backup as log_backup
from ropewalk.admin.access import SUPERVISOR
from ropewalk.admin.snapshots import OnProgress as Told
from ropewalk.bus.settings import NatsSettings
from ropewalk.cli.connecting import bus_of
from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.terminal import errors, print_json, say
from ropewalk.cli.settings import named_bus
from ropewalk.local.broker.offline import broker_alone
from ropewalk.local.lock import holder

app = typer.Typer()


@app.command("backup")
def backup_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Keep the log in a folder: every fact, request, state, timer and dead letter. The stack may be up or down.

    Example: ropewalk backup /mnt/backups/monday
    """
    with _bus(state_dir) as settings, _progress(as_json) as told:
        kept = asyncio.run(log_backup.back_up(settings, folder, told))
    _print(kept, folder, "kept in", as_json)


@app.command("restore")
def restore_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `ropewalk backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Throw away what the server's streams hold.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Make the log of a backup that of the stack, which must be down, or of the server that ROPEWALK_NATS_URL names.

    Example: ropewalk restore /mnt/backups/monday
    """
    place = layout(state_dir)
    if named_bus() is None and holder(place):
        raise log_backup.BackupError("the stack is running: `ropewalk down` first, then restore")
    log_backup.read_backup(folder)  # before a server is started for nothing
    with _bus(state_dir) as settings, _progress(as_json) as told:
        kept = asyncio.run(log_backup.restore(settings, folder, told, replace=replace))
    _print(kept, folder, "restored from", as_json)


@contextlib.contextmanager
def _bus(state_dir: Path | None) -> Iterator[NatsSettings]:
    """The server that was named, that of the running stack, or one started alone on the folder of a stack at rest."""
    place = layout(state_dir)
    if named_bus() or holder(place):
        yield bus_of(state_dir, SUPERVISOR)
        return
    with broker_alone(place) as settings:
        yield settings


@contextlib.contextmanager
def _progress(as_json: bool) -> Iterator[Told]:
    """Bytes per stream on a terminal; nothing in a pipe."""
    columns = (TextColumn("{task.description:8}", markup=False), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=errors, transient=True, disable=as_json or not errors.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def tell(stream: str, num_bytes: int) -> None:
            if stream not in tasks:
                # The server does not say beforehand how large a snapshot becomes, so there is no bar to fill.
                tasks[stream] = bars.add_task(stream, total=None)
            bars.update(tasks[stream], completed=num_bytes)

        yield tell


def _print(kept: log_backup.Backup, folder: Path, done: str, as_json: bool) -> None:
    if as_json:
        streams = [
            {"name": each.name, "num_messages": each.place[0], "first": each.place[1], "last": each.place[2]}
            | {"num_bytes": each.num_bytes}
            for each in kept.streams
        ]
        print_json({"folder": str(folder), "time": kept.time.isoformat(), "streams": streams})
        return
    for each in kept.streams:
        say(f"{each.name:8} {each.place[0]:>10,} messages {each.num_bytes:>14,} bytes")
    say(f"{done} {folder}")
