"""The log in a folder: a snapshot of each stream that holds facts, under a manifest of hashes that is written last.

AUDIT is a mirror of CONTROL that keeps messages for longer, so it is kept too, and taken first: it is never ahead of
the CONTROL it is restored beside, and catches up from it. DLQ and the timers are taken after CONTROL: a letter or a
timer may then come twice, which every reader of them bears. Only a timer that fires while the snapshots are taken can
be missing, and none is if the stack is down.

Leases are not kept: their holders are gone. Only their newest revision is, because epochs must go on growing: a
restored run would refuse everything written under an epoch that is lower than the one in its state. Telemetry and
request logs are not kept either; the analytics database holds them. It holds labels and scores, too, which are kept all
the same: nobody labels twice.
"""

import asyncio
import contextlib
import errno
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from ropewalk.admin.snapshots import OnProgress, StreamPresentError, StreamSnapshot, send_snapshot, take_snapshot
from ropewalk.admin.topology import apply_topology, lease_config
from ropewalk.bus.connection import connect
from ropewalk.bus.lag import all_consumers
from ropewalk.bus.settings import NatsSettings
from ropewalk.errors import RopewalkError
from ropewalk.events.streams import LEASE_STREAM, SCHEDULE_STREAM
from ropewalk.storage.manifest import MANIFEST, read_manifest, seal, verify

BACKED_UP = ("AUDIT", "CONTROL", "DLQ", SCHEDULE_STREAM, "SCORES")
_RESTORED = ("CONTROL", "AUDIT", "DLQ", SCHEDULE_STREAM, "SCORES")  # an origin before its mirror
_SUFFIX = ".snapshot"
_KIND = "ropewalk.backup"
_REVISIONS_PER_S = 1000  # more than any number of leases is renewed; epochs given out since the backup lie below
_SETTLING_S = 0.5  # between two looks at a stream that is coming into place
_STANDSTILL_S = 60.0
_FULL = {errno.ENOSPC, errno.EDQUOT}


class BackupError(RopewalkError):
    """A backup or a restore cannot be done like this. The text is one sentence with the remedy."""


@dataclass(frozen=True, kw_only=True)
class StreamBackup:
    """One stream of a backup."""

    name: str
    snapshot: StreamSnapshot
    num_bytes: int

    @property
    def place(self) -> tuple[int, int, int]:
        """Number of messages, first and last sequence."""
        return _place(self.snapshot.state)


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What a folder holds."""

    time: datetime
    lease_sequence: int
    streams: tuple[StreamBackup, ...]


async def back_up(settings: NatsSettings, folder: Path, progress: OnProgress) -> Backup:
    """Fill a folder. An interrupted backup has no manifest and is begun again. Raises BackupError, BusError."""
    _claim(folder)
    try:
        async with _connected(settings, "backup") as connection:
            streams = {name: vars(await _keep(connection, name, folder, progress)) for name in BACKED_UP}
            leases = await connection.jetstream(timeout=20).stream_info(LEASE_STREAM)
            meta: dict[str, Any] = {
                "kind": _KIND,
                "time": datetime.now(UTC).isoformat(),
                "server_version": str(connection.connected_server_version),
                "lease_sequence": leases.state.last_seq,
                "streams": streams,
            }
            seal(folder, meta)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _clear(folder)
        raise BackupError(
            f"no space is left for the backup in {folder}: free some and run it again; the log is untouched"
        ) from None
    except nats.js.errors.NotFoundError:
        raise BackupError(f"the server at {settings.address} lacks a stream: run `ropewalk bus apply` first") from None
    return read_backup(folder)


def read_backup(folder: Path) -> Backup:
    """What a folder holds; the files are not looked at. Raises ManifestError, BackupError."""
    manifest = read_manifest(folder)
    meta: dict[str, Any] = dict(manifest.meta)
    if meta.get("kind") != _KIND:
        raise BackupError(f"{folder} holds no backup of the log: name a folder that `ropewalk backup` wrote")
    streams = [
        StreamBackup(name=name, snapshot=StreamSnapshot(**kept), num_bytes=manifest.files[f"{name}{_SUFFIX}"][1])
        for name, kept in meta["streams"].items()
    ]
    return Backup(
        time=datetime.fromisoformat(meta["time"]),
        lease_sequence=meta["lease_sequence"],
        streams=tuple(streams),
    )


async def restore(settings: NatsSettings, folder: Path, progress: OnProgress, *, replace: bool = False) -> Backup:
    """Make the streams of a server those of a folder whose hashes are right. What an interrupted one has done stays.

    Raises ManifestError for a damaged folder; BackupError if services are at work, or if streams hold other messages
    and `replace` is not given; BusError.
    """
    verify(folder)
    backup = read_backup(folder)
    async with _connected(settings, "restore") as connection:
        context = connection.jetstream(timeout=20)
        await _refuse_company(context)
        left = await _still_to_do(context, backup, settings.address, replace=replace)
        for name in reversed([name for name in _RESTORED if name in left]):  # a mirror goes before its origin
            await _forget(context, name)
        for name in _RESTORED:
            if name in left:
                await _bring_back(connection, left[name], folder, settings.replicas or 1, progress)
        await _raise_epochs(context, backup, settings.replicas or 1)
    await apply_topology(settings)
    return backup


@contextlib.asynccontextmanager
async def _connected(settings: NatsSettings, name: str) -> AsyncIterator[Client]:
    """A connection that ends with the server: a snapshot cannot go on after a reconnect."""
    connection = await connect(settings, name, allow_reconnect=False)
    try:
        yield connection
    finally:
        with contextlib.suppress(OSError, nats.errors.Error):
            await connection.close()


async def _keep(connection: Client, name: str, folder: Path, progress: OnProgress) -> StreamSnapshot:
    with (folder / f"{name}{_SUFFIX}").open("wb") as file:
        return await take_snapshot(connection, name, file, progress)


def _claim(folder: Path) -> None:
    """Make the folder, or empty one that an interrupted backup left. Raises BackupError."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / MANIFEST).exists():
        raise BackupError(f"{folder} holds a complete folder already: choose another name")
    strangers = sorted(path.name for path in folder.iterdir() if path.suffix != _SUFFIX and MANIFEST not in path.name)
    if strangers:
        raise BackupError(f"{folder} is not empty ({strangers[0]}): choose a new folder")
    _clear(folder)


def _clear(folder: Path) -> None:
    for path in folder.glob(f"*{_SUFFIX}"):
        path.unlink()


async def _refuse_company(context: JetStreamContext) -> None:
    """Raises BackupError while services wait for messages: they would act on half a log."""
    try:
        at_work = [info.name for info in await all_consumers(context, "CONTROL") if info.num_waiting]
    except nats.js.errors.NotFoundError:
        return
    if at_work:
        raise BackupError(f"services are at work on this bus ({', '.join(sorted(at_work))}): stop them, then restore")


async def _still_to_do(
    context: JetStreamContext, backup: Backup, url: str, *, replace: bool
) -> dict[str, StreamBackup]:
    """The streams that are not as the backup has them. Raises BackupError if one of them holds messages."""
    left: dict[str, StreamBackup] = {}
    for kept in backup.streams:
        present = await _present(context, kept)
        if present == kept.place and present[0]:
            continue
        if present[0] and not replace:
            raise BackupError(
                f"the stream {kept.name} at {url} holds {present[0]} messages already: restore into an empty "
                "server, or add --replace to throw them away"
            )
        left[kept.name] = kept
    return left


async def _present(context: JetStreamContext, kept: StreamBackup) -> tuple[int, int, int]:
    """What the server has of a stream. One that an interrupted restore has sent may still be coming into place."""
    before, present = None, await _place_of(context, kept.name)
    while present != before and 0 < present[0] < kept.place[0] and present[1] == kept.place[1]:
        await asyncio.sleep(_SETTLING_S)
        before, present = present, await _place_of(context, kept.name)
    return present


async def _arrived(context: JetStreamContext, kept: StreamBackup) -> tuple[int, int, int]:
    """A stream that the server makes from what an interrupted restore had sent, when it is whole or stands still."""
    before, place, still_s = None, await _place_of(context, kept.name), 0.0
    while place != kept.place and still_s < _STANDSTILL_S:
        await asyncio.sleep(_SETTLING_S)
        before, place = place, await _place_of(context, kept.name)
        still_s = still_s + _SETTLING_S if place == before else 0.0
    return place


async def _place_of(context: JetStreamContext, name: str) -> tuple[int, int, int]:
    try:
        return _place(vars((await context.stream_info(name)).state))
    except nats.js.errors.NotFoundError:
        return 0, 0, 0


async def _bring_back(
    connection: Client, kept: StreamBackup, folder: Path, replicas: int, progress: OnProgress
) -> None:
    # Where the streams lie is a matter of the new server, and so is how many copies it keeps.
    config = {name: value for name, value in kept.snapshot.config.items() if name != "placement"}
    snapshot = StreamSnapshot(config={**config, "num_replicas": replicas}, state=kept.snapshot.state)
    with (folder / f"{kept.name}{_SUFFIX}").open("rb") as file:
        try:
            place = _place(await send_snapshot(connection, snapshot, file, progress))
        except StreamPresentError:
            place = await _arrived(connection.jetstream(timeout=20), kept)
    if place != kept.place:
        raise BackupError(f"{kept.name} came back with {place}, not {kept.place} (messages, first, last)")


async def _raise_epochs(context: JetStreamContext, backup: Backup, replicas: int) -> None:
    """An empty lease bucket whose revisions go on above every epoch that was ever given out."""
    elapsed_s = max(0.0, (datetime.now(UTC) - backup.time).total_seconds())
    newest = backup.lease_sequence + math.ceil(elapsed_s) * _REVISIONS_PER_S
    with contextlib.suppress(nats.js.errors.NotFoundError):
        newest = max(newest, (await context.stream_info(LEASE_STREAM)).state.last_seq)
    await _forget(context, LEASE_STREAM)
    await context.add_stream(lease_config().evolve(first_seq=newest + 1, num_replicas=replicas))


async def _forget(context: JetStreamContext, stream: str) -> None:
    with contextlib.suppress(nats.js.errors.NotFoundError):
        await context.delete_stream(stream)


def _place(state: dict[str, Any]) -> tuple[int, int, int]:
    """An empty stream may call its first sequence 0 or 1."""
    return state["messages"], state["first_seq"] if state["messages"] else 0, state["last_seq"]
