"""A ClickHouse server for tests: the one of ROPEWALK_TEST_CLICKHOUSE_URL, or the stand-in as a process."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

PROGRAM = Path(__file__).parents[1] / "compose" / "stand_ins" / "clickhouse" / "server.py"
GIVEN = os.environ.get("ROPEWALK_TEST_CLICKHOUSE_URL", "")  # of a server that may lose its database `ropewalk`
WRITER, PASSWORD = "ropewalk_writer", "p@ss/w#rd"
_START_S = 60.0


class StandIn:
    """The stand-in; it may be killed and started again on its folder and port."""

    def __init__(self, folder: Path, user: str = WRITER) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._folder = folder
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"http://127.0.0.1:{self._port}"
        self.url = f"http://{user}:p%40ss%2Fw%23rd@127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start and wait until it answers."""
        options = ["--folder", str(self._folder), "--host", "127.0.0.1", "--port", str(self._port)]
        environment = os.environ | {"CLICKHOUSE_USER": self._user, "CLICKHOUSE_PASSWORD": PASSWORD}
        self._process = subprocess.Popen([sys.executable, str(PROGRAM), *options], env=environment)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.address}/ping").text == "Ok.\n":
                    return
            time.sleep(0.05)
        raise AssertionError("the stand-in for ClickHouse does not answer")

    def kill(self) -> None:
        """As kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def stop(self) -> int:
        """By SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(20)
        self._process = None
        return status
