"""How the reports of a trial leave it before it can die: an actor that the driver owns and empties five times a second.

What a trial has put in synchronously is safe from a kill of that trial.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from ropewalk.trainer.adapters.cpu_meter import Beat
from ropewalk.trainer.adapters.worker.job import StepLoss, WorkerReport

_BEAT_S = 1.0
_PUT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class SentReport:
    """A report with its sender: the number of a trial."""

    sender: int
    content: WorkerReport


class Mailbox:
    """The actor's class: keeps letters in the order they came."""

    def __init__(self) -> None:
        self._letters: list[Beat | SentReport] = []

    def put(self, letter: Beat | SentReport) -> None:
        """Add a letter."""
        self._letters.append(letter)

    def drain(self) -> list[Beat | SentReport]:
        """Take all letters out."""
        letters, self._letters = self._letters, []
        return letters


def open_mailbox() -> Any:
    """Start a mailbox actor. It needs no CPU of its own."""
    return ray.remote(num_cpus=0)(Mailbox).remote()


class MailboxSender:
    """A trial's side of the mailbox. Use as a context manager: while it is open, CPU time is reported."""

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
        """Send a report; all but the loss of a step is in the mailbox when this returns."""
        letter = SentReport(self._sender, content)
        if isinstance(content, StepLoss):
            self._box.put.remote(letter)
        else:
            self._deliver(letter)

    def _deliver(self, letter: Beat | SentReport) -> None:
        ray.get(self._box.put.remote(letter), timeout=_PUT_TIMEOUT_S)

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT_S):
            self._box.put.remote(self._beat_now())

    def _beat_now(self) -> Beat:
        return Beat(node=self._node, pid=os.getpid(), cpu_seconds=time.process_time())
