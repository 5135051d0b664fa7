"""Whether the process behind a model lives: watched once for all of its open streams.

A stub that dies leaves its streams silent for ever while Triton calls the model ready. A stream may also be silent
because it waits for a slot, so silence alone says nothing: when nobody has heard from the model for a moment, it is
asked, and the answer does not wait behind requests. All streams hear of its end at once.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

_LOOK_S = 1.0  # also how long nobody must have heard of the model before it is asked
_IDLE_S = 10.0  # without any stream
_HUNG_S = 300.0  # an engine that has something to do and made no step for so long; the longest prompt takes less
_DEAD = ("Stub process", "the engine ", "EngineCore")  # as Triton, our backend and vLLM say it
UNANSWERED = "the Stub process of the model does not answer any more"

Ask = Callable[[], Awaitable[str | None]]  # what a model answers to a pulse; None when it does not


class Listener(Protocol):
    """One stream."""

    def give_up(self, cause: str) -> None:
        """The model's process has died: no more will come."""
        ...


class ModelPulse:
    """The streams of one loaded model. `number` says which load that was, `on_end` is told the cause."""

    def __init__(self, ask: Ask, number: int, silence_s: float, on_end: Callable[[str], None]) -> None:
        self.number = number
        self._ask = ask
        self._silence_s = silence_s
        self._on_end = on_end
        self._listeners: set[Listener] = set()
        self._heard_at = time.monotonic()
        self._watching: asyncio.Task[None] | None = None  # runs only while somebody listens
        self._looking = False  # one question at a time
        self.is_over = False

    @contextlib.asynccontextmanager
    async def followed_by(self, listener: Listener) -> AsyncIterator[None]:
        """Tell the listener when the model ends; watch it as long as anybody listens."""
        self._listeners.add(listener)
        if self._watching is None:
            self.heard()
            self._watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._watching is not None:
                self._watching.cancel()
                self._watching = None

    def heard(self) -> None:
        """Something came from the model."""
        self._heard_at = time.monotonic()

    def end(self, cause: str) -> None:
        """The model's process has died, whoever found out."""
        if self.is_over:
            return
        self.is_over = True
        listeners, self._listeners = self._listeners, set()
        for listener in listeners:
            listener.give_up(cause)
        self._on_end(cause)

    async def look_if_idle(self) -> None:
        """Ask a model that was silent for long: one that dies unused is put right before it is missed."""
        if not self._looking and not self.is_over and time.monotonic() - self._heard_at > _IDLE_S:
            await self._look()

    async def _watch(self) -> None:
        while not self.is_over:
            await asyncio.sleep(_LOOK_S)
            if time.monotonic() - self._heard_at > _LOOK_S:
                await self._look()

    async def _look(self) -> None:
        self._looking = True
        try:
            answer = await self._ask()
        finally:
            self._looking = False
        if answer is not None and (means_dead(answer) or _is_hung(answer)):
            self.end(answer)
        elif answer is not None:
            self.heard()
        elif time.monotonic() - self._heard_at > self._silence_s:
            self.end(UNANSWERED)


def means_dead(sentence: str) -> bool:
    """Whether an answer says that the stub or its engine has died."""
    return any(mark in sentence for mark in _DEAD)


def _is_hung(answer: str) -> bool:
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        return float(json.loads(answer).get("silent_s", 0.0)) > _HUNG_S
    return False
