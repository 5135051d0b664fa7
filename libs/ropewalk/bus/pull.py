"""Keeps pull requests of one durable consumer standing, so that a message comes as soon as it is stored.

The client library's own loops make a task, a timer and a request per message, or wait for a whole page while one
slow message holds it up. Here one inbox receives everything: each request asks for as many messages as there is room
for, and the next one is sent when half of that room is free again. The first request does not wait, so it tells
whether the consumer is there at all: consumers are made by the owner of the topology, never here.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ropewalk.bus.client import GuardedClient
from ropewalk.bus.errors import DeniedError
from ropewalk.events.consumers import ConsumerSpec

logger = logging.getLogger(__name__)

_EXPIRES_S = 60.0  # then the server forgets a request, should we have vanished
_HEARTBEAT_S = 5.0
_SILENCE_S = 2.5 * _HEARTBEAT_S  # a standing request that says nothing for this long is lost
_TICK_S = 1.0  # how late a lost request or a consumer that is made again may be noticed
_DRAIN_S = 1.0  # for what the server had sent before it heard that we stop
_NS = 1_000_000_000
_HEARTBEAT = "100"  # statuses of messages from the server itself
_NOBODY_ANSWERS = "503"
_LOOK_S = 1.0  # for the cluster to say whether there is such a consumer
_NOT_FOUND = 404


class StandingPull:
    """At most `window` messages are asked for or in the hands of the caller, who says `done` for each."""

    def __init__(
        self,
        connection: GuardedClient,
        spec: ConsumerSpec,
        window: int,
        on_message: Callable[[Msg], Awaitable[None]],
        on_tick: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.spec = spec
        self.bound = asyncio.Event()
        self.answered = asyncio.Event()  # bound, or refused for want of a right
        self.is_missing = False  # the server says that there is no such consumer; else its leader is away
        self._connection = connection
        self._window = min(window, spec.max_ack_pending)
        self._on_message = on_message
        self._on_tick = on_tick
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.durable}"
        self._asked = 0  # messages that the server still owes us
        self._in_hand = 0  # messages that the caller has not let go of
        self._heard = 0.0  # monotonic seconds
        self._waits = False  # whether the next request stands; the first must be answered at once
        self._subscription: Subscription | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to ask. `bound` is set as soon as the consumer has answered."""
        self._inbox = self._connection.new_inbox()
        self._subscription = await self._connection.subscribe(self._inbox, cb=self._arrived)
        self._connection.on_reconnect(self._ask_anew)
        self._ticking = asyncio.create_task(self._tick())
        await self._top_up()

    async def stop(self) -> None:
        """Ask no more. What is on its way goes back to the server at once, for another replica."""
        subscription, self._subscription = self._subscription, None
        if subscription is None or self._ticking is None:
            return
        self._connection.forget_reconnect(self._ask_anew)
        self._ticking.cancel()
        await asyncio.gather(self._ticking, return_exceptions=True)
        with contextlib.suppress(nats.errors.Error, TimeoutError):
            await asyncio.wait_for(subscription.drain(), _DRAIN_S)

    async def done(self, number: int = 1) -> None:
        """The caller has let go of messages."""
        self._in_hand -= number
        await self._top_up()

    async def _arrived(self, raw: Msg) -> None:
        self._heard = time.monotonic()
        if not raw.reply:
            await self._on_status(raw.headers or {})
            return
        self.bound.set()
        self.answered.set()
        self._waits = True
        self._asked = max(0, self._asked - 1)  # an answer to a request that was given up may still come
        if self._subscription is None:  # stopped while this message was on its way
            await raw.nak()
            return
        self._in_hand += 1
        await self._on_message(raw)

    async def _on_status(self, headers: Mapping[str, str]) -> None:
        """A request has ended, or says that it is still there."""
        status = headers.get("Status", "")
        if status == _HEARTBEAT:
            return
        if status == _NOBODY_ANSWERS:
            self.bound.clear()
            self._asked, self._waits = 0, False
            return  # the next tick asks again
        self.bound.set()
        self.answered.set()
        self._waits = True
        self._asked = max(0, self._asked - int(headers.get("Nats-Pending-Messages", self._asked)))
        if status in ("404", "408"):  # no message now; the request has expired
            await self._top_up()

    async def _top_up(self) -> None:
        room = self._window - self._in_hand - self._asked
        if self._subscription is None or room <= 0 or (self._asked and 2 * room < self._window):
            return
        self._asked += room
        try:
            await self._connection.publish(self._subject, self._request(room), reply=self._inbox)
        except (nats.errors.Error, DeniedError) as error:
            logger.debug("could not ask for messages of %s: %s", self.spec.durable, error)
            self._asked = 0

    def _request(self, number: int) -> bytes:
        wanted: dict[str, Any] = {"batch": number}
        if self._waits:
            wanted |= {"expires": int(_EXPIRES_S * _NS), "idle_heartbeat": int(_HEARTBEAT_S * _NS)}
        else:
            wanted["no_wait"] = True
        return json.dumps(wanted).encode()

    async def _ask_anew(self) -> None:
        """The server has forgotten what was asked over the connection before."""
        self._asked, self._waits = 0, False
        await self._top_up()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            if self._connection.denied.holds(self._subject):  # said some time after the request was sent
                self._asked, self._waits = 0, False
                self.answered.set()
            elif self._asked and time.monotonic() - self._heard > _SILENCE_S:
                self._asked, self._heard = 0, time.monotonic()
            await self._top_up()
            await self._look()
            if self._on_tick is not None:
                await self._on_tick()

    async def _look(self) -> None:
        """Find out why nobody answers: the consumer was not made, or its servers elect a leader or are too few."""
        if self.bound.is_set() or self._connection.denied.holds(self._subject):
            self.is_missing = False
            return
        name = f"{self.spec.stream}.{self.spec.durable}"
        error: dict[str, Any] = {}
        with contextlib.suppress(nats.errors.Error, DeniedError, TimeoutError, ConnectionError):
            answer = await self._connection.request(f"$JS.API.CONSUMER.INFO.{name}", b"", timeout=_LOOK_S)
            error = json.loads(answer.data).get("error", {})
        was_missing, self.is_missing = self.is_missing, error.get("code") == _NOT_FOUND
        if self.is_missing and not was_missing:
            missing = f"there is no consumer {self.spec.durable} in the stream {self.spec.stream} now"
            logger.warning("%s; `ropewalk bus apply` makes it", missing)
