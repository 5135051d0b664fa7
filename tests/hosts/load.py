"""The programs of `traffic` on the host of the clients: started, asked, ended and judged from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from hosts.nats_cluster import CLIENTS, EVERYTHING, NatsCluster, until
from hosts.network import pid_of
from hosts.traffic import read_ledger

_TESTS = Path(__file__).parents[1]
_PROBES = 18080  # and the next ones, on the loopback of the clients' host
_ENDS_S = 120.0


class Load:
    """A publisher and instances of an answering service. Use as a context manager; all end with it."""

    def __init__(self, cluster: NatsCluster, *, rate: float = 50.0, instances: int = 2) -> None:
        self.folder = cluster.folder / "load"
        self.folder.mkdir()
        self._cluster, self._host, self._rate = cluster, cluster.network.hosts[CLIENTS], rate
        self._ports = range(_PROBES, _PROBES + instances)

    def __enter__(self) -> "Load":
        self._answering = [
            self._start("answer", {"ROPEWALK_HEALTH_PORT": str(port), "ROPEWALK_INSTANCE": f"load-{port}"})
            for port in self._ports
        ]
        until(lambda: not self.unready(), lambda: f"{self.unready()}\n{self.log('answer')}")
        self._publishing = self._start("publish", {}, self._rate)
        self.until_moving()
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._publishing, *self._answering):
            if pid := pid_of(process):
                os.kill(pid, signal.SIGKILL)
            process.wait()

    def acknowledged(self) -> list[dict[str, Any]]:
        """Every fact so far; see `Ledger`."""
        return read_ledger(self.folder / "facts.jsonl")

    def until_moving(self, seconds: float = 60.0) -> float:
        """Wait until a fact that is stated from now on, and a commit, are acknowledged; how long that took."""
        began = time.time()
        for file in ("facts", "commits"):
            until(
                lambda file=file: any(
                    line["began"] > began for line in read_ledger(self.folder / f"{file}.jsonl")[-200:]
                ),
                lambda: f"nothing is acknowledged\n{self.log('publish')}",
                seconds,
            )
        return time.time() - began

    def unready(self) -> list[str]:
        """Why instances are not ready, as their probes say."""
        reasons: list[str] = []
        for port in self._ports:
            ask = ("curl", "--silent", "--max-time", 3, f"http://127.0.0.1:{port}/ready")
            try:
                reasons += json.loads(self._host.run(*ask))["reasons"]
            except (subprocess.CalledProcessError, ValueError):
                reasons.append("it does not answer")
        return reasons

    def ended(self) -> list[int]:
        """Statuses of programs that have ended although nobody told them to."""
        return [process.returncode for process in (self._publishing, *self._answering) if process.poll() is not None]

    def judged(self) -> dict[str, Any]:
        """End the publisher in good order, wait until all is answered, and read the log."""
        os.kill(pid_of(self._publishing), signal.SIGTERM)
        self._publishing.wait(_ENDS_S)
        assert self._publishing.returncode == 0, self.log("publish")
        command = (sys.executable, "-m", "hosts.traffic", "judge", self.folder)
        answer = self._host.run(*command, environment=self._environment({}), seconds=300)
        return {**json.loads(answer), "longest_stall_s": longest_stall_s(self.acknowledged())}

    def log(self, work: str) -> str:
        """The end of what a program has written."""
        return (self.folder / f"{work}.log").read_text()[-3000:]

    def _start(self, work: str, extra: dict[str, str], *arguments: object) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "hosts.traffic", work, self.folder, *arguments)
        return self._host.start(*command, log=self.folder / f"{work}.log", environment=self._environment(extra))

    def _environment(self, extra: dict[str, str]) -> dict[str, str]:
        state = {"ROPEWALK_STATE_DIR": str(self.folder), "PYTHONPATH": str(_TESTS)}
        return self._cluster.environment(EVERYTHING) | state | extra


def longest_stall_s(acknowledged: list[dict[str, Any]]) -> float:
    """Seconds without an answer, at most."""
    ends = sorted(line["ended"] for line in acknowledged)
    return max((later - earlier for earlier, later in pairwise(ends)), default=0.0)
