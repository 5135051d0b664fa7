"""Whether a service is alive and ready, and where an orchestrator asks.

Live: the event loop turns. Nothing else counts, since whoever is not live is killed, and killing every service heals
no broker. Ready: connected, every consumer bound, nothing refused for want of a permission, leases renewed. Both are
answered from a thread, so that a loop that hangs is reported and not just silent.
"""

import asyncio
import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ropewalk.bus.waiting import Waiting
from ropewalk.errors import RopewalkError
from ropewalk.runtime.needs import Missing
from ropewalk.runtime.settings import HealthSettings

BLOCKED_S = 30.0  # a loop that has not turned for this long will not turn again
_BEAT_S = 0.5  # between two beats
_CLIENT_TIMEOUT_S = 2.0

Check = Callable[[], str]


class Pulse:
    """A beat in the event loop. Any thread may ask how late it is: nothing is measured until somebody asks."""

    def __init__(self) -> None:
        self._due = 0.0
        self._worst_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to beat in the running loop."""
        self._due = time.monotonic() + _BEAT_S
        # The loop runs `_beat` when it gets round to it: how late that is, is how long something blocked the loop.
        self._timer = asyncio.get_running_loop().call_later(_BEAT_S, self._beat)

    def stop(self) -> None:
        """Beat no more; the loop counts as turning from now on."""
        self._due = 0.0
        if self._timer is not None:
            self._timer.cancel()

    def blocked_s(self) -> float:
        """How long the loop has been blocked by now."""
        return max(0.0, time.monotonic() - self._due) if self._due else 0.0

    def take_worst_s(self) -> float:
        """The longest time a beat was late since the last call."""
        worst, self._worst_s = max(self._worst_s, self.blocked_s()), 0.0
        return worst

    def _beat(self) -> None:
        self._worst_s = max(self._worst_s, self.blocked_s())
        self.start()


@dataclass(frozen=True, kw_only=True)
class HealthReport:
    """What `/live` and `/ready` answer. `reasons` are sentences; there are some when it is not ready."""

    service: str
    live: bool
    ready: bool
    reasons: tuple[str, ...]
    loop_blocked_s: float


@dataclass(frozen=True, kw_only=True)
class Pong(HealthReport):
    """What a service answers on `ctl.ping.<service>`. `bound`: it takes messages, so its start is over."""

    pid: int
    bound: bool
    waiting: Waiting
    version: str
    instance: str
    missing: tuple[Missing, ...]


class Health:
    """Collects the reasons of one service. A check returns a reason why the service is not ready, or ''."""

    def __init__(self, service: str) -> None:
        self.pulse = Pulse()
        self._service = service
        self._checks: list[Check] = []

    def add(self, check: Check) -> None:
        """Ask this too. It may be called from another thread and must not wait."""
        self._checks.append(check)

    def report(self) -> HealthReport:
        """The present state."""
        blocked_s = self.pulse.blocked_s()
        live = blocked_s < BLOCKED_S
        reasons = [] if live else [f"its event loop has been blocked for {blocked_s:.0f} s"]
        reasons += [reason for check in self._checks if (reason := check())]
        return HealthReport(
            service=self._service,
            live=live,
            ready=not reasons,
            reasons=tuple(reasons),
            loop_blocked_s=round(blocked_s, 3),
        )


def serve_probes(health: Health, settings: HealthSettings) -> http.server.ThreadingHTTPServer:
    """Answer `GET /live` and `GET /ready` from a thread: 200 or 503, with the report as JSON. Raises ListenError."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            """One request, in a time that counts from its beginning: a client that drips holds nobody up."""
            patience = threading.Timer(_CLIENT_TIMEOUT_S, _hang_up, (self.connection,))
            patience.daemon = True
            patience.start()
            with contextlib.suppress(OSError):  # gone, or out of time
                super().handle()
            patience.cancel()

        def do_GET(self) -> None:
            report = health.report()
            verdict = {"/live": report.live, "/ready": report.ready}.get(self.path)
            status = 404 if verdict is None else 200 if verdict else 503
            body = json.dumps(asdict(report)).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A probe every few seconds is no news."""

    try:
        server = http.server.ThreadingHTTPServer((settings.host, settings.port), Handler)
    except OSError as error:
        raise ListenError(
            f"cannot answer health probes on {settings.host}:{settings.port} ({error.strerror}): "
            "set ROPEWALK_HEALTH_PORT to a free port, or to 0 for no probes"
        ) from None
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


class ListenError(RopewalkError):
    """A port cannot be listened on. The text names it and the setting."""
