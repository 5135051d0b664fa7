"""Hands the messages of one durable consumer to a handler, several at a time.

Messages of one entity (the last token of the subject, mostly a run) are handled one after the other, so a handler
that reads the run's timeline and decides does not race with itself; those of different entities in no particular
order, and a slow one delays no other until all workers are busy. A handler that takes its time keeps its message, up
to a budget: after that the server may give it to somebody else.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import nats.errors
from nats.aio.msg import Msg

from ropewalk.bus.client import GuardedClient
from ropewalk.bus.pull import StandingPull
from ropewalk.delivery.outcome import outcome_or_error
from ropewalk.events.consumers import ConsumerSpec

logger = logging.getLogger(__name__)

HANDLER_BUDGET_S = 20.0  # how long a handler keeps its message; whatever takes longer is a stage
WORKERS = 8  # handlers wait for the server most of the time
_WINDOW_PER_WORKER = 4  # messages fetched ahead, so that no worker waits for a request to the server
_EXTENSIONS_PER_ACK_WAIT = 3  # two may get lost before the server gives the message to another instance


@dataclass
class _InHand:
    raw: Msg
    handled_since: float = 0.0  # monotonic seconds; 0 while it waits for a worker


class Consumer:
    """`settle` handles one message and acknowledges it; if it fails, the message comes again."""

    def __init__(
        self,
        connection: GuardedClient,
        spec: ConsumerSpec,
        settle: Callable[[Msg], Awaitable[None]],
        *,
        workers: int = WORKERS,
    ) -> None:
        self._pull = StandingPull(connection, spec, _WINDOW_PER_WORKER * workers, self._take, self._keep)
        self._spec = spec
        self._settle = settle
        self._num_workers = workers
        self._ready: asyncio.Queue[_InHand] = asyncio.Queue()
        self._behind: dict[str, deque[_InHand]] = {}  # by entity, while one of its messages is ready or handled
        self._in_hands: dict[str, _InHand] = {}  # by reply subject, which names one delivery
        self._extended = time.monotonic()
        self._workers: list[asyncio.Task[None]] = []

    @property
    def name(self) -> str:
        """The durable's name."""
        return self._spec.durable

    @property
    def is_bound(self) -> bool:
        """Whether the server answers for this consumer."""
        return self._pull.bound.is_set()

    @property
    def is_missing(self) -> bool:
        """Whether the server says that nobody has made this consumer."""
        return self._pull.is_missing

    async def bind(self) -> None:
        """Begin. Returns when the server has answered, however long the owner takes to make the consumer.

        A service that may not use it is bound to nothing, but can say so.
        """
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._num_workers)]
        await self._pull.start()
        await self._pull.answered.wait()

    async def stop(self, over: asyncio.Event) -> None:
        """Take no more, finish what is in hands until the grace is `over`, give the rest back."""
        await self._pull.stop()
        ends = [asyncio.create_task(self._ready.join()), asyncio.create_task(over.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (*ends, *self._workers):
            task.cancel()
        await asyncio.gather(*ends, *self._workers, return_exceptions=True)
        left = [held.raw for held in self._in_hands.values() if not held.raw.is_acked]
        for raw in left:
            with contextlib.suppress(nats.errors.Error):
                await raw.nak()
        if left:
            logger.warning("%s: %d messages in hand are left to another instance", self.name, len(left))

    async def _take(self, raw: Msg) -> None:
        held = self._in_hands[raw.reply] = _InHand(raw)
        behind = self._behind.get(_entity(raw))
        if behind is None:  # no other message of this entity is ready or handled
            self._behind[_entity(raw)] = deque()
            self._ready.put_nowait(held)
        else:
            behind.append(held)

    async def _work(self) -> None:
        while True:
            held = await self._ready.get()
            raw, held.handled_since = held.raw, time.monotonic()
            error = await outcome_or_error(self._settle(raw))
            if error is not None:  # not settled, so the message comes again after the ack wait
                logger.error("could not settle %s", raw.subject, exc_info=error)
            self._in_hands.pop(raw.reply, None)
            entity = _entity(raw)
            if behind := self._behind[entity]:
                self._ready.put_nowait(behind.popleft())
            else:
                del self._behind[entity]
            self._ready.task_done()
            await self._pull.done()

    async def _keep(self) -> None:
        """Tell the server that messages wait for a worker or are worked on within the budget."""
        now = time.monotonic()
        if now - self._extended < self._spec.ack_wait_s / _EXTENSIONS_PER_ACK_WAIT:
            return
        self._extended = now
        for held in list(self._in_hands.values()):
            if not held.handled_since or now - held.handled_since < HANDLER_BUDGET_S:
                with contextlib.suppress(nats.errors.Error):
                    await held.raw.in_progress()


def _entity(raw: Msg) -> str:
    return raw.subject.rpartition(".")[2]
