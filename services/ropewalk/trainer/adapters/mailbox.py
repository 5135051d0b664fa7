"""How reports leave a worker before it can die: an actor that the driver owns and empties five times a second.

It outlives every worker group. What a worker has put in synchronously is safe from a kill of that worker.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from ropewalk.trainer.adapters.worker.job import StepLoss, StepsDone, WorkerReport

_BEAT_S = 1.0
_PUT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Hello:
    """A worker is there. `actor` is its handle, by which it can be killed."""

    actor: Any


@dataclass(frozen=True, kw_only=True)
class Beat:
    """CPU seconds that a worker's process has used so far."""

    node: str
    pid: int
    cpu_seconds: float


@dataclass(frozen=True)
class SentReport:
    """A report with its sender: the attempt of a group, or the number of a trial."""

    sender: int
    content: WorkerReport


class Mailbox:
    """The actor's class: keeps letters in the order they came."""

    def __init__(self) -> None:
        self._letters: list[Hello | Beat | SentReport] = []

    def put(self, letter: Hello | Beat | SentReport) -> None:
        """Add a letter."""
        self._letters.append(letter)

    def drain(self) -> list[Hello | Beat | SentReport]:
        """Take all letters out."""
        letters, self._letters = self._letters, []
        return letters


def open_mailbox() -> Any:
    """Start a mailbox actor. It needs no CPU of its own."""
    return ray.remote(num_cpus=0)(Mailbox).remote()


class MailboxSender:
    """A worker's side of the mailbox. Use as a context manager: while it is open, CPU time is reported."""

    def __init__(self, box: Any, sender: int) -> None:
        self._box = box
        self._sender = sender
        self._closed = threading.Event()
        self._node = ray.get_runtime_context().get_node_id()
        self._thread = threading.Thread(target=self._beat, name="beat", daemon=True)

    def __enter__(self) -> Callable[[WorkerReport], None]:
        self._thread.start()
        return self.report

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self._deliver(self._beat_now())

    def report(self, content: WorkerReport) -> None:
        """Send a report; all but frequent ones are in the mailbox when this returns."""
        letter = SentReport(self._sender, content)
        if isinstance(content, StepsDone | StepLoss):
            self._box.put.remote(letter)
        else:
            self._deliver(letter)

    def hello(self) -> None:
        """Say that this worker is there."""
        self._deliver(Hello(ray.get_runtime_context().current_actor))

    def _deliver(self, letter: Hello | Beat | SentReport) -> None:
        ray.get(self._box.put.remote(letter), timeout=_PUT_TIMEOUT_S)

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT_S):
            self._box.put.remote(self._beat_now())

    def _beat_now(self) -> Beat:
        return Beat(node=self._node, pid=os.getpid(), cpu_seconds=time.process_time())
