"""Reading streams: the last message of a subject, everything up to now, everything from now on."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from ropewalk.bus.cancelling import pass_on_cancellation, within
from ropewalk.bus.client import GuardedClient
from ropewalk.bus.codec import RawMessage, Stored, decoded
from ropewalk.bus.dead_letters import repeats_the_log
from ropewalk.bus.errors import BusError, MalformedMessageError
from ropewalk.bus.incoming import Incoming
from ropewalk.events.base import Message
from ropewalk.events.upcasters import with_older_forms

logger = logging.getLogger(__name__)

R = TypeVar("R")
_PAGE = 256  # messages of one direct get
_ANSWER_TIMEOUT_S = 2.0  # short, because an answer that a killed server owed never comes
_TICK_S = 5.0  # between two looks without a hint: one that was lost delays a follower by no more
_FIRST_LOOK_S = 0.005  # after a hint; then twice as long each time
_PASSING = (
    TimeoutError,
    ConnectionError,  # asyncio's, where the server goes in the middle of our writing
    nats.errors.Error,
    nats.js.errors.ServiceUnavailableError,
    nats.js.errors.ServerError,
)


class StreamReader:
    """Everything that is read over one connection.

    It makes no consumer, so nothing is left behind and no restart loses a place.

    Many messages come by a batched direct get, which a mirror may answer that is a little behind. So an answer may be
    short but never has a gap; that nothing more is there is only believed from the stream's leader.
    """

    def __init__(self, connection: GuardedClient) -> None:
        self.connection = connection
        self._context: JetStreamContext = connection.jetstream(timeout=_ANSWER_TIMEOUT_S)

    async def newest(self, subject: str, *, stream: str = "CONTROL") -> RawMessage | None:
        """The newest message on a subject as it lies there, from the leader; waits for a broker that is away."""
        return _one(await self._patiently(lambda: self._context.get_last_msg(stream, subject), subject))

    async def read(
        self, subject_filter: str, *, stream: str = "CONTROL", after: int = 0
    ) -> AsyncIterator[Stored[Message]]:
        """Everything stored now behind sequence `after`, oldest first, without what is malformed (dead letters)."""
        end, malformed = await self.end(stream=stream), 0
        for each in reversed(with_older_forms(subject_filter)):
            async for raw in self.raw(each, stream=stream, first=after + 1, last=end):
                if (item := _tolerant(raw, logging.DEBUG)) is not None:
                    yield item
                malformed += item is None and not repeats_the_log(raw.headers)
        if malformed:  # one line, as there may be thousands
            where = "`ropewalk dead list` shows what a service turned away"
            logger.warning("left out messages on %s that are malformed: %d; %s", subject_filter, malformed, where)

    async def follow(
        self, subject_filter: str, *, stream: str = "CONTROL", after: int = 0
    ) -> AsyncIterator[Stored[Message]]:
        """As `read`, but it never ends. Survives restarts of the server without a gap.

        What is published now is only a hint to look; what counts is what the stream has.
        """
        start = after + 1
        hint = asyncio.Event()

        async def on_publish(_: Msg) -> None:
            hint.set()

        async def on_reconnect() -> None:
            hint.set()

        subscription = await self.connection.subscribe(subject_filter, cb=on_publish)
        self.connection.on_reconnect(on_reconnect)
        delay_s = _TICK_S
        try:
            while True:
                async for raw in self.raw(subject_filter, stream=stream, first=start):
                    start = raw.sequence + 1
                    if (item := _tolerant(raw)) is not None:
                        yield item
                hinted = await within(delay_s, hint)
                delay_s = _FIRST_LOOK_S if hinted else min(2 * delay_s, _TICK_S)
                if hinted:
                    hint.clear()
                    await asyncio.sleep(_FIRST_LOOK_S)  # a hint is earlier than the store
        finally:
            self.connection.forget_reconnect(on_reconnect)
            await _discard(subscription)

    async def raw(
        self, subject_filter: str, *, stream: str = "CONTROL", first: int = 1, last: int | None = None
    ) -> AsyncIterator[RawMessage]:
        """Everything stored from sequence `first` to `last` (None: to the end) as it lies there, malformed or not."""
        while last is None or first <= last:
            page = await self._page(stream, subject_filter, first)
            if not page:  # a mirror may be behind, so only the leader says that this is the end
                found = await self._next(stream, subject_filter, first)
                if found is None:
                    return
                page = [found]
            for message in page:
                if last is not None and message.sequence > last:
                    return
                first = message.sequence + 1
                yield message
            pass_on_cancellation()

    async def end(self, *, stream: str = "CONTROL") -> int:
        """The sequence of the newest message, 0 if there is none: what comes later is `follow(…, after=…)`.

        Raises BusError without such a stream.
        """
        info = await self._patiently(lambda: self._context.stream_info(stream), f"the stream {stream}")
        if info is None:
            raise BusError(f"there is no stream {stream}: run `ropewalk bus apply`")
        return int(info.state.last_seq)

    async def _next(self, stream: str, subject_filter: str, start: int) -> RawMessage | None:
        """The first message from `start` on, from the leader."""
        return _one(
            await self._patiently(
                lambda: self._context.get_msg(stream, seq=start, subject=subject_filter, next=True), subject_filter
            )
        )

    async def _page(self, stream: str, subject_filter: str, start: int) -> list[RawMessage]:
        """Some messages from `start` on without a gap, possibly none although there are some."""
        arrived: list[Msg] = []
        progress = asyncio.Event()

        async def take(raw: Msg) -> None:
            arrived.append(raw)
            if "Status" in (raw.headers or {}):
                progress.set()

        inbox = self.connection.new_inbox()
        subscription = await self.connection.subscribe(inbox, cb=take)
        request = json.dumps({"seq": start, "next_by_subj": subject_filter, "batch": _PAGE}).encode()
        try:
            await self.connection.publish(f"$JS.API.DIRECT.GET.{stream}", request, reply=inbox)
            await within(_ANSWER_TIMEOUT_S, progress)
        except _PASSING:
            pass_on_cancellation()
            logger.debug("no page of %s from %d", stream, start)
        finally:
            await _discard(subscription)
        return [_of_page(each) for each in arrived if "Status" not in (each.headers or {})]

    async def _patiently(self, ask: Callable[[], Awaitable[R]], what: str) -> R | None:
        """The answer, however long the broker is away; None if there is no such thing."""
        while True:
            try:
                return await ask()
            except nats.js.errors.NotFoundError:
                return None
            except _PASSING as error:
                pass_on_cancellation()
                logger.warning("bus away (%s), waiting to read %s", type(error).__name__, what)
                await asyncio.sleep(0.5)


def delivered(raw: Incoming) -> RawMessage:
    """A message that a consumer delivered, as it lies in its stream."""
    place = raw.metadata
    time = place.timestamp.astimezone(UTC)
    return RawMessage(raw.subject, place.sequence.stream, time, dict(raw.headers or {}), raw.data)


def _tolerant(raw: RawMessage, level: int = logging.WARNING) -> Stored[Message] | None:
    if repeats_the_log(raw.headers):
        return None
    try:
        return decoded(raw)
    except MalformedMessageError as error:
        logger.log(level, "left out %s at %d: %s", raw.subject, raw.sequence, error)
        return None


def _one(found: RawStreamMsg | None) -> RawMessage | None:
    """The answer of a stream's leader to a question for one message."""
    if found is None:
        return None
    assert found.seq is not None
    assert found.time is not None
    return RawMessage(found.subject or "", found.seq, found.time, found.headers or {}, found.data or b"")


def _of_page(answer: Msg) -> RawMessage:
    """One message of a batched direct get: the server says in headers where it lies."""
    headers = dict(answer.headers or {})
    subject, sequence, time = (headers.pop(f"Nats-{name}") for name in ("Subject", "Sequence", "Time-Stamp"))
    for name in ("Nats-Stream", "Nats-Num-Pending", "Nats-Last-Sequence"):
        headers.pop(name, None)
    return RawMessage(subject, int(sequence), datetime.fromisoformat(time), headers, answer.data)


async def _discard(subscription: Subscription) -> None:
    with contextlib.suppress(nats.errors.Error, ConnectionError):
        await subscription.unsubscribe()
