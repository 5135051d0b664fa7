"""Hands completions to Triton from a thread of its own.

Every message costs Triton, the stub and the client 0.2 ms of processor each, so tokens that pile up while others
are sent travel together: under load the messages grow instead of multiplying. A stream's first token never waits
for more than the pause between two sweeps.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ropewalk.model.engine import Update

_PAUSE_S = 0.004  # after a sweep, and so much again for every four streams in it
_MAX_PAUSE_S = 0.04
_CHECK_EVERY = 16  # updates after which a request that does not stream looks whether it was cancelled


class Channel(Protocol):
    """The way back to one client."""

    def is_cancelled(self) -> bool:
        """Whether the client went away."""
        ...

    def send(self, update: Update, *, final: bool) -> None:
        """Send; after `final` the channel is closed."""
        ...


class Stream:
    """One request: what it still has to send. `cancel` ends it in the engine, by its `number` there."""

    def __init__(self, channel: Channel, *, streaming: bool, cancel: Callable[[int], None]) -> None:
        self._channel = channel
        self._streaming = streaming
        self._cancel = cancel
        self._closed = False
        self.pending: list[Update] = []
        self.queued = False
        self.number = 0  # known after the request was submitted
        self.cancelled = False  # asked for before that

    @property
    def is_due(self) -> bool:
        """Whether there is something to send or to look after."""
        if not self.pending:
            return False
        return self._streaming or bool(self.pending[-1].finish_reason) or len(self.pending) % _CHECK_EVERY == 0

    def flush(self, updates: list[Update]) -> list[Update]:
        """Send what is due and return what must wait."""
        final = bool(updates[-1].finish_reason)
        if self._closed:
            return []
        if not final and self._channel.is_cancelled():
            self._cancel(self.number)  # the engine answers with a last update, which closes the channel
            return []
        if not final and not self._streaming:
            return updates
        self._closed = final
        self._channel.send(merged(updates), final=final)
        return []


class Outbox:
    """The sending thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[Stream] = deque()  # those with something due, each once
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="outbox", daemon=True)
        self._thread.start()

    def put(self, stream: Stream, update: Update) -> None:
        """Queue an update. Called on the engine's thread, so it only appends."""
        with self._changed:
            stream.pending.append(update)
            if stream.is_due and not stream.queued:
                stream.queued = True
                self._queue.append(stream)
                self._changed.notify()

    def close(self) -> None:
        """Send everything that is queued and end the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        while pause_s := self._sweep():
            time.sleep(pause_s)

    def _sweep(self) -> float:
        """Send what is queued and say how long to rest; 0 means the outbox was closed.

        A frame of its own, so that no idle local keeps a finished stream: Triton waits for its sender to be freed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or not self._open)
            sweep = [(stream, self._take(stream)) for stream in self._queue]
            self._queue.clear()
        for stream, updates in sweep:
            self._give_back(stream, stream.flush(updates))
        return min(_MAX_PAUSE_S, _PAUSE_S * (1 + len(sweep) // 4)) if sweep else 0.0

    def _take(self, stream: Stream) -> list[Update]:
        updates, stream.pending, stream.queued = stream.pending, [], False
        return updates

    def _give_back(self, stream: Stream, kept: list[Update]) -> None:
        if not kept:
            return
        with self._changed:
            stream.pending = kept + stream.pending


def merged(updates: list[Update]) -> Update:
    """Several updates of one completion as one."""
    token_ids = tuple(token for update in updates for token in update.token_ids)
    return replace(updates[-1], text="".join(update.text for update in updates), token_ids=token_ids)
