"""From which release to which a stack would go, and what that changes in it. Nothing is changed here.

Tables only go forward: what a migration made, an older release cannot read. So the state folder of an embedded stack
says which release used it last, and an older one is refused before it starts.
"""

import asyncio
import importlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from ropewalk.local.credentials import write_private
from ropewalk.local.errors import StackStartError
from ropewalk.local.layout import Layout

if TYPE_CHECKING:
    from ropewalk.bus.settings import NatsSettings


@dataclass(frozen=True, kw_only=True)
class Release:
    """A version of this program and how many migrations its tables have seen; 0 and empty before 0.2."""

    version: str = ""
    tables: int = 0


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """The way from what runs, or last ran, to this program. `streams` and `tables` are what will change.

    `unread` says why the tables could not be asked; empty if they were.
    """

    running: Release
    ours: Release
    streams: tuple[str, ...] = ()
    unread: str = ""

    @property
    def tables(self) -> tuple[str, ...]:
        """The migrations to come, in order."""
        return migrations()[self.running.tables :] if self.running.tables else ()

    @property
    def is_way_back(self) -> bool:
        """Whether this program is older than the tables."""
        return self.running.tables > self.ours.tables


def our_release() -> Release:
    """This program."""
    return Release(version=version("ropewalk"), tables=len(migrations()))


def migrations() -> tuple[str, ...]:
    """Every migration that this version knows. A library may not import a service, and these are only data."""
    found = importlib.import_module("ropewalk.monitor.schema").migrations()
    return tuple(f"{each.version:04d}_{each.name}" for each in found)


def stream_changes(settings: "NatsSettings") -> tuple[str, ...]:
    """What `ropewalk bus apply` would do to a server that is up. Raises BusError."""
    from ropewalk.admin.topology import drift  # imports NATS's client, for which `ropewalk status` does not wait

    found = asyncio.run(drift(settings))
    return tuple(str(each) for each in found if each.actual != "unknown")  # it removes nothing


def record_release(layout: Layout) -> None:
    """Note in the state folder that this program uses it. Raises OSError."""
    write_private(layout.release_file, json.dumps(asdict(our_release())).encode())


def recorded_release(layout: Layout) -> Release:
    """Which release used the state folder last."""
    try:
        said = json.loads(layout.release_file.read_bytes())
        return Release(version=str(said["version"]), tables=int(said["tables"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Release()


def refuse_way_back(layout: Layout) -> None:
    """Raises StackStartError if a newer release has used the folder, whose tables this one cannot read."""
    last, ours = recorded_release(layout), our_release()
    if last.tables > ours.tables:
        raise StackStartError(
            f"ropewalk {last.version} has used {layout.state_dir}: its tables have version {last.tables}, and this is "
            f"{ours.version}, which knows {ours.tables}; use {last.version} or newer, or restore a backup into a new "
            "folder"
        )
