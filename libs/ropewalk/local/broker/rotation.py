"""Gives a user of the running bus a new key. Nobody else's connection is touched.

The server reads its configuration again and drops whoever came with the old key. A service is ended before that and
started again by the supervisor, so that it gives its leases back instead of losing them.
"""

import asyncio
import os
import signal
import time
from dataclasses import dataclass

import psutil

from ropewalk.admin.access import OPERATOR
from ropewalk.admin.contracts import SERVICE_USERS
from ropewalk.bus.connection import connect
from ropewalk.errors import RopewalkError
from ropewalk.local.broker.config import write_bus_config
from ropewalk.local.broker.keys import replace_key
from ropewalk.local.credentials import Credentials, ensure_credentials, write_private
from ropewalk.local.env import bus_settings
from ropewalk.local.errors import LocalError
from ropewalk.local.layout import Layout
from ropewalk.local.lock import holder
from ropewalk.local.ports import Ports
from ropewalk.local.stack import running_state

_BROKER = "nats-server"
_STOP_TIMEOUT_S = 15.0
_RELOAD_TIMEOUT_S = 10.0


class RotationError(LocalError):
    """The new key is written and the server does not take it."""


@dataclass(frozen=True)
class Rotated:
    """A new public key. `live`: the running server knows it already. `restarted`: the user's service was."""

    user: str
    public_key: str
    live: bool
    restarted: bool


def rotate(layout: Layout, user: str) -> Rotated:
    """Replace the key of a user, and the operator's password with it. Raises RotationError, OSError."""
    key = replace_key(layout.keys, user)
    credentials = ensure_credentials(layout.credentials_file)
    if user == OPERATOR:
        credentials = credentials.model_copy(update={"nats_password": Credentials().nats_password})
        write_private(layout.credentials_file, credentials.model_dump_json(indent=1).encode() + b"\n")
    if not holder(layout):
        return Rotated(user, key, live=False, restarted=False)
    state = running_state(layout)
    write_bus_config(layout, state.ports, credentials)
    pids = {process.service: process.pid for process in state.processes}
    restarted = user in SERVICE_USERS and bool(pids.get(user)) and _end(pids[user])
    os.kill(pids[_BROKER], signal.SIGHUP)
    asyncio.run(_until_taken(layout, state.ports, user))
    return Rotated(user, key, live=True, restarted=restarted)


def _end(pid: int) -> bool:
    """Have a service stop by itself; the supervisor starts it again."""
    try:
        process = psutil.Process(pid)
        process.terminate()
        process.wait(_STOP_TIMEOUT_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        process.kill()
    return True


async def _until_taken(layout: Layout, ports: Ports, user: str) -> None:
    deadline = time.monotonic() + _RELOAD_TIMEOUT_S
    while True:
        try:
            client = await connect(bus_settings(user, layout, ports), "key-rotation")
            return await client.close()
        except RopewalkError as error:
            if time.monotonic() > deadline:
                raise RotationError(f"{error}; `ropewalk logs {_BROKER}` says why") from None
        await asyncio.sleep(0.1)
