"""What a service needs besides the bus: told on `ctl.ping` while it is away, and no reason not to be ready.

A service without its object store still answers requests, heartbeats and questions; taking it out of rotation would
turn one fault into two. So this is for people: `ropewalk status` names the need and who misses it.
"""

import http.client
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ropewalk.bus.waiting import Moment
from ropewalk.events.foreign import one_line
from ropewalk.storage.probing import has_room

_LOOK_S = 5.0
_SILENT_S = 10.0  # a look takes a few seconds at most
_TIMEOUT_S = 3.0
_LONGEST = 300  # characters of a sentence that holds words of others

Look = Callable[[], str]
"""What is wrong, as a sentence; empty if nothing is. It may block, and is called from a thread of its own."""


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Something that a service needs and does not have. `kind` is a word for programs: disk, objects, ray …"""

    kind: str
    what: str
    since: Moment = 0.0


class Needs:
    """Looks after each need every few seconds while it runs."""

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}
        self._missing: dict[str, Missing] = {}
        self._began: dict[str, float] = {}  # of the looks under way
        self._over = threading.Event()

    def add(self, kind: str, look: Look) -> None:
        """Look after this too. Before `start`."""
        self._looks[kind] = look

    def start(self) -> None:
        """Begin to look."""
        for kind, look in self._looks.items():
            threading.Thread(target=self._watch, args=(kind, look), name=f"need-{kind}", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def missing(self) -> tuple[Missing, ...]:
        """What is missing now. A look that hangs means that what it looks at does."""
        hung = {
            kind: Missing(kind=kind, what=f"it waits for {kind} without an answer", since=began)
            for kind, began in list(self._began.items())
            if time.time() - began > _SILENT_S
        }
        return tuple((hung | dict(self._missing)).values())

    def _watch(self, kind: str, look: Look) -> None:
        while not self._over.is_set():
            self._began[kind] = time.time()
            if what := one_line(look(), _LONGEST):
                known = self._missing.get(kind)
                self._missing[kind] = Missing(kind=kind, what=what, since=known.since if known else time.time())
            else:
                self._missing.pop(kind, None)
            self._began.pop(kind)
            self._over.wait(_LOOK_S)


def why_no_room(folder: Path) -> str:
    """Why nothing can be written to a folder, which need not be there yet."""
    try:
        return "" if has_room(folder) else f"the disk of {folder} is full"
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{folder} cannot be used: {error.strerror}"


def why_no_answer(name: str, url: str, path: str, unix: Path | None = None) -> str:
    """Why a GET is not answered with 200 by what people know as `name`; `unix` is its socket if it has no port."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    place = str(unix) if unix else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        if unix:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(_TIMEOUT_S)
            connection.sock.connect(str(unix))
        connection.request("GET", path)
        status = connection.getresponse().status
        return "" if status == http.client.OK else f"{name} at {place} answers {status} to {path}"
    except (OSError, http.client.HTTPException) as error:
        return f"{name} at {place} does not answer: {str(error) or type(error).__name__}"
    finally:
        connection.close()


def why_not_reached(name: str, address: str) -> str:
    """Why nothing takes a connection at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        return f"{name} at {address} cannot be reached: {error}"
    return ""
