"""Reading streams: the last message of a subject, everything up to now, everything from now on, batches for sinks."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RawStreamMsg

from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.runtime.codec import Stored, decode_any
from ropewalk.runtime.dead_letters import is_for, repeats_the_log
from ropewalk.runtime.errors import MalformedMessageError

logger = logging.getLogger(__name__)

_PAGE = 256
_IDLE_FETCH_S = 5.0
_PASSING = (
    TimeoutError,
    nats.errors.Error,
    nats.js.errors.ServiceUnavailableError,
    nats.js.errors.ServerError,
)


@dataclass(frozen=True)
class Batch:
    """Consecutive messages of a sink's consumer, as they lie in the stream."""

    items: list[Stored[Message]]
    malformed: list[tuple[Msg, str]]
    first_sequence: int
    last_sequence: int
    ack: Callable[[], Awaitable[None]]


class StreamReader:
    """Everything a Bus reads."""

    def __init__(self, connection: Client) -> None:
        self._context: JetStreamContext = connection.jetstream(timeout=5)

    async def last(self, stream: str, subject: str) -> RawStreamMsg | None:
        """The newest message on a subject; waits for a broker that is away."""
        while True:
            try:
                return await self._context.get_last_msg(stream, subject)
            except nats.js.errors.NotFoundError:
                return None
            except _PASSING as error:
                logger.warning("bus away (%s), waiting to read %s", type(error).__name__, subject)
                await asyncio.sleep(0.5)

    async def read(self, stream: str, subject_filter: str) -> AsyncIterator[Stored[Message]]:
        """See Bus.read."""
        end = await self._end(stream)
        start, exhausted = 1, False
        while start <= end and not exhausted:
            try:
                exhausted = True
                async for sequence, item in self._page(stream, subject_filter, start):
                    if sequence > end:
                        return
                    start = sequence + 1
                    if item is not None:
                        yield item
            except _PASSING:
                exhausted = False
                _pass_on_cancellation()
                await asyncio.sleep(0.5)

    async def follow(self, stream: str, subject_filter: str, *, from_now: bool) -> AsyncIterator[Stored[Message]]:
        """See Bus.follow."""
        start = await self._end(stream) + 1 if from_now else 1
        while True:
            try:
                async for sequence, item in self._page(stream, subject_filter, start, endless=True):
                    start = sequence + 1
                    if item is not None:
                        yield item
            except _PASSING:
                _pass_on_cancellation()
                await asyncio.sleep(0.5)

    async def _end(self, stream: str) -> int:
        while True:
            try:
                return (await self._context.stream_info(stream)).state.last_seq
            except _PASSING:
                await asyncio.sleep(0.5)

    async def _page(
        self, stream: str, subject_filter: str, start: int, *, endless: bool = False
    ) -> AsyncIterator[tuple[int, Stored[Message] | None]]:
        """Messages from `start` on; ends at the first empty fetch unless `endless`."""
        subscription = await self._context.pull_subscribe(
            subject_filter,
            stream=stream,
            config=ConsumerConfig(
                ack_policy=AckPolicy.NONE,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
                inactive_threshold=60,
                mem_storage=True,
                num_replicas=1,
            ),
        )
        try:
            pending = (await subscription.consumer_info()).num_pending or 0
            while endless or pending > 0:
                try:
                    page = await subscription.fetch(_PAGE, timeout=_IDLE_FETCH_S if pending <= 0 else 1.0)
                except (nats.errors.TimeoutError, TimeoutError):
                    _pass_on_cancellation()
                    if not endless:
                        return
                    await subscription.consumer_info()  # raises when a restart swept the consumer away
                    continue
                for raw in page:
                    pending = raw.metadata.num_pending
                    yield raw.metadata.sequence.stream, _tolerant(raw)
        finally:
            await _discard(subscription)

    async def batches(
        self, stream: str, durable: str, subjects: tuple[str, ...], *, max_messages: int, max_wait_s: float
    ) -> AsyncIterator[Batch]:
        """See Bus.batches. Each message is acknowledged by itself: nats-py may drop part of a page at its deadline,
        and an acknowledgement up to a sequence would lose those."""
        config = ConsumerConfig(
            durable_name=durable,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=60,
            max_ack_pending=max_messages * 4,
            filter_subjects=list(subjects),
        )
        subscription = None
        while True:
            try:
                if subscription is None:
                    subscription = await self._context.pull_subscribe("", durable=durable, stream=stream, config=config)
                page = await subscription.fetch(1, timeout=_IDLE_FETCH_S)
                if max_messages > 1:
                    page += await _rest(subscription, max_messages - 1, max_wait_s)
            except (nats.errors.TimeoutError, TimeoutError):
                _pass_on_cancellation()
                continue
            except _PASSING as error:
                _pass_on_cancellation()
                logger.warning("bus away (%s), sink %s waits", type(error).__name__, durable)
                await asyncio.sleep(0.5)
                continue
            yield _batch(page, durable)


def _pass_on_cancellation() -> None:
    """nats-py's fetch turns a cancellation into a timeout, which would make an endless loop immortal."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _rest(subscription: JetStreamContext.PullSubscription, most: int, wait_s: float) -> list[Msg]:
    try:
        return await subscription.fetch(most, timeout=wait_s)
    except (nats.errors.TimeoutError, TimeoutError):
        _pass_on_cancellation()
        return []


def _batch(page: list[Msg], durable: str) -> Batch:
    items: list[Stored[Message]] = []
    malformed: list[tuple[Msg, str]] = []
    for raw in page:
        if not is_for(raw.headers, durable):
            continue
        try:
            items.append(stored(raw))
        except MalformedMessageError as error:
            malformed.append((raw, str(error)))

    async def ack() -> None:
        for raw in page:
            await raw.ack()

    return Batch(
        items=items,
        malformed=malformed,
        first_sequence=page[0].metadata.sequence.stream,
        last_sequence=page[-1].metadata.sequence.stream,
        ack=ack,
    )


def stored(raw: Msg) -> Stored[Message]:
    """A message with where it lies. Raises MalformedMessageError."""
    time = raw.metadata.timestamp.astimezone(UTC)
    headers = raw.headers or {}
    sequence = raw.metadata.sequence.stream
    return Stored(
        sequence=sequence,
        time=time,
        envelope=envelope_of(raw.subject, headers, sequence, time),
        message=decode_any(raw.subject, headers, raw.data),
    )


def envelope_of(subject: str, headers: dict[str, str], sequence: int, time: datetime) -> Envelope:
    """The envelope of a stored message, completed from where it lies."""
    return Envelope.from_headers(headers, subject=subject, sequence=sequence, time=time.isoformat())


def _tolerant(raw: Msg) -> Stored[Message] | None:
    if repeats_the_log(raw.headers):
        return None
    try:
        return stored(raw)
    except MalformedMessageError as error:
        logger.warning("left out %s at %d: %s", raw.subject, raw.metadata.sequence.stream, error)
        return None


async def _discard(subscription: JetStreamContext.PullSubscription) -> None:
    try:
        await subscription.unsubscribe()
    except nats.errors.Error as error:
        logger.debug("consumer left to its inactivity timeout: %s", error)
