"""How a message is delivered to a handler, and what happens to it afterwards.

Outcome -> JetStream: Done acks (after what follows was published), Retry naks with a delay, Reject writes a dead
letter and terminates. An unexpected exception is a Retry that grows slower, and a dead letter after the last try.
Whatever a handler raises is caught (in `outcome`), so that one message never ends a service.
"""

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.trace import SpanKind

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import decode
from ropewalk.bus.dead_letters import is_for
from ropewalk.bus.errors import BusError, ConflictError, DeniedError, MalformedMessageError, TooLargeError
from ropewalk.bus.incoming import Incoming
from ropewalk.bus.schedules import DueTimer, due_timer
from ropewalk.delivery.outcome import Done, Outcome, Reject, Retry, outcome_or_error
from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.events.foreign import cut, one_line
from ropewalk.telemetry.metrics import is_exporting, record
from ropewalk.telemetry.spans import span

logger = logging.getLogger(__name__)

Handler = Callable[[Any, Envelope], Awaitable[Outcome]]
TimerHandler = Callable[[DueTimer], Awaitable[Outcome]]

MAX_TRIES = 8  # within some two minutes: a fault that lasts longer is looked at by a person
_RACE_DELAY_S = 0.1  # what others said is in the log by then
_MAX_REASON = 1000  # characters of an error in the log and in a dead letter
_BACK_OFF_S = (0.2, 1.0, 5.0, 30.0)  # after the first, second, third and every further failure


# How often handling each message of one consumer, by its sequence, failed in this process. Being put off is no failure,
# and neither is a delivery that nobody answered.
Failures = Counter[int]


async def deliver(
    raw: Incoming, kind: type[Message], handler: Handler, bus: Bus, consumer: str, failures: Failures
) -> None:
    """Hand one message to its handler and settle it with JetStream."""
    if not is_for(raw.headers, consumer):
        await raw.ack()
        return
    envelope = Envelope.from_headers(
        raw.headers or {},
        subject=raw.subject,
        stored=lambda: (raw.metadata.sequence.stream, raw.metadata.timestamp.isoformat()),
    )
    started = time.monotonic()
    with span(
        f"handle {kind.family}.{kind.name}",
        cause=envelope.traceparent,
        kind=SpanKind.CONSUMER,
        run_id=envelope.run_id,
        subject=raw.subject,
        message_id=envelope.id,
    ):
        try:
            message = decode(kind, raw.subject, raw.data)
        except MalformedMessageError as error:
            outcome: Outcome = Reject(str(error))
        else:
            outcome = await _outcome(handler(message, envelope), raw, kind.name, failures)
        await _settle(raw, outcome, bus, consumer, envelope.id)
    _forget(raw, outcome, failures)
    if is_exporting():
        named = {"message_type": kind.type_name(), "outcome": type(outcome).__name__.lower()}
        record("ropewalk.message.duration", time.monotonic() - started, **named)


async def set_aside(raw: Incoming, bus: Bus, consumer: str, reason: str) -> None:
    """Make a dead letter of a message for one consumer, to which it is not delivered again."""
    logger.warning("dead letter from %s: %s", raw.subject, one_line(reason, _MAX_REASON))
    await bus.dead_letter(raw.metadata.stream, consumer, raw, reason)
    await raw.term()


async def deliver_due(raw: Incoming, handler: TimerHandler, bus: Bus, consumer: str, failures: Failures) -> None:
    """Hand a due timer to its handler and settle it as any message."""
    due = due_timer(raw)
    with span(f"handle due {due.name}", cause=due.traceparent, kind=SpanKind.CONSUMER, subject=raw.subject):
        outcome = await _outcome(handler(due), raw, due.name, failures)
        await _settle(raw, outcome, bus, consumer, due.id)
    _forget(raw, outcome, failures)


async def _settle(raw: Incoming, outcome: Outcome, bus: Bus, consumer: str, cause_id: str) -> None:
    match outcome:
        case Done(messages):
            try:
                if messages:
                    await bus.publish_all(messages, cause_id=cause_id)
            except ConflictError as error:  # others were faster: the handler decides on what is there now
                logger.info("%s again: %s", raw.subject, error)
                await raw.nak(delay=_RACE_DELAY_S)
                return
            except DeniedError:  # it may be given the right: the message comes again
                raise
            except BusError as error:  # too large, say: the same follows however often it is handled
                await set_aside(raw, bus, consumer, f"what follows from it cannot be said: {error}")
                return
            await raw.ack()
        case Retry(delay_s, reason):
            logger.debug("%s again in %.1f s: %s", raw.subject, delay_s, reason)
            await raw.nak(delay=delay_s)
        case Reject(reason):
            await set_aside(raw, bus, consumer, reason)


def _forget(raw: Incoming, outcome: Outcome, failures: Failures) -> None:
    """A message that is dealt with counts no longer. Reading its sequence is slow, and mostly nothing has failed."""
    if failures and not isinstance(outcome, Retry):
        failures.pop(raw.metadata.sequence.stream, None)


async def _outcome(work: Awaitable[Outcome], raw: Incoming, name: str, failures: Failures) -> Outcome:
    """What a handler decided, or what follows from its error."""
    error = await outcome_or_error(work)
    if not isinstance(error, Exception):
        return error
    sequence = raw.metadata.sequence.stream
    failures[sequence] += 1
    tries = failures[sequence]
    if isinstance(error, TooLargeError):
        return Reject(str(error))
    reason = f"{type(error).__name__}: {cut(str(error), _MAX_REASON)}"
    logger.error("handling %s failed (try %d)", name, tries, exc_info=error)
    if tries >= MAX_TRIES:
        return Reject(f"failed {tries} times, last with {reason}")
    return Retry(_BACK_OFF_S[min(tries, len(_BACK_OFF_S)) - 1], reason)
