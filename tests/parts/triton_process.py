"""A Triton server that belongs to the process of a test. The embedded stack runs `ropewalk.serving.triton`."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ropewalk.runtime.shared_memory import sweep_shared_memory
from ropewalk.serving.adapters.triton_server import EXIT_TIMEOUT_S, PRIVATE, prepare
from ropewalk.serving.errors import ServingError
from ropewalk.serving.settings import Settings


def _is_live(http: Path) -> bool:
    """Whether the server answers on its socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(1.0)
        asking.connect(str(http))
        asking.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: triton\r\n\r\n")
        return asking.recv(64).startswith(b"HTTP/1.1 200")
    return False


class TritonServer:
    """A server owned by this process."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 30.0) -> None:
        """Start and wait until it is live. Raises ServingError with the end of its log."""
        launch = prepare(self._settings)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                launch.argv, env=launch.environment, stdout=output, stderr=output, umask=PRIVATE
            )
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.is_alive():
            if _is_live(self._settings.sockets.http):
                return
            time.sleep(0.05)
        self.stop()
        raise ServingError(f"tritonserver did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not within its own exit timeout."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(EXIT_TIMEOUT_S + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        sweep_shared_memory(self._settings.shm_prefix)


@contextlib.contextmanager
def running(settings: Settings, log: Path) -> Iterator[TritonServer]:
    """A live server for the duration of a block."""
    server = TritonServer(settings, log)
    server.start()
    try:
        yield server
    finally:
        server.stop()
