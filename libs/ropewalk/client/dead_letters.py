"""Dead letters: what consumers rejected, and what an operator does about it.

A letter is open until a mark settles it. Its id is its place in the stream DLQ.
"""

import asyncio
import base64
import json
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Literal

import nats.errors
import nats.js.errors

from ropewalk.bus import dead_letters as wire
from ropewalk.bus.bus import Bus
from ropewalk.bus.cancelling import pass_on_cancellation
from ropewalk.bus.codec import RawMessage, decode_any, in_present_form
from ropewalk.bus.errors import BusError, MalformedMessageError
from ropewalk.bus.sending import WRONG_SEQUENCE
from ropewalk.client.errors import NotDeliverableError, UnknownLetterError
from ropewalk.events.base import Message

DLQ = "DLQ"
_TIMEOUT_S = 10.0
_LOOK_S = 0.2  # between two looks for a refusal

Status = Literal["open", "retried", "dropped"]
_STATUS: dict[str, Status] = {"retried": "retried", "dropped": "dropped"}


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A rejected message with the reason. `time` is when it was rejected, `message_time` when it was first stored."""

    id: int
    status: Status = "open"
    stream: str
    sequence: int
    consumer: str
    subject: str
    error: str
    time: str
    message_time: str
    deliveries: int
    retry_of: int = 0
    mark: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    place: str = field(repr=False)

    @property
    def text(self) -> str | None:
        """The body, if it is text."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None

    def as_json(self) -> dict[str, Any]:
        """For programs. A body that is no text is base64."""
        shown = {each.name: getattr(self, each.name) for each in fields(self) if each.repr}
        text = self.text
        content = {"body": text} if text is not None else {"body_base64": base64.b64encode(self.body).decode()}
        return shown | {"headers": dict(self.headers)} | content


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What became of a retry. `sequence` is where the redelivery lies; `repeated` if it had been retried before."""

    id: int
    consumer: str
    subject: str
    sequence: int
    repeated: bool


def matching(
    letters: Sequence[DeadLetter], *, subject: str = "", error: str = "", consumer: str = ""
) -> list[DeadLetter]:
    """Letters whose subject or consumer fits the pattern (`*` for anything) and whose error contains the text."""
    return [
        letter
        for letter in letters
        if fnmatchcase(letter.subject, subject or "*")
        and fnmatchcase(letter.consumer, consumer or "*")
        and error.casefold() in letter.error.casefold()
    ]


class DeadLetters:
    """The dead letters of a bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._context = bus.connection.jetstream(timeout=_TIMEOUT_S)

    async def read(self, *, settled: bool = False) -> list[DeadLetter]:
        """Every open letter, oldest first; with `settled` the retried and dropped ones too."""
        found: dict[str, DeadLetter] = {}
        async for raw in self._bus.raw("dlq.>", stream=DLQ):
            letter = found.get(raw.subject)
            if wire.MARK not in raw.headers:
                found[raw.subject] = _letter(raw)
            elif letter is not None:
                found[raw.subject] = replace(letter, status=_STATUS[raw.headers[wire.MARK]], mark=json.loads(raw.body))
        return [letter for letter in found.values() if settled or letter.status == "open"]

    async def find(self, letter_id: int) -> DeadLetter:
        """One letter, settled or not. Raises UnknownLetterError."""
        for letter in await self.read(settled=True):
            if letter.id == letter_id:
                return letter
        raise UnknownLetterError(letter_id)

    async def check(self, letter: DeadLetter, body: bytes | None = None) -> tuple[str, bytes]:
        """Subject and body of a redelivery, in the present form of its type.

        Raises NotDeliverableError: it was dropped, its consumer is gone, or it would be rejected again at once.
        """
        if letter.status == "dropped":
            raise NotDeliverableError(f"letter {letter.id} was dropped ({letter.mark.get('reason', '')}): it stays so")
        content = await self._whole_body(letter) if body is None else body
        try:
            subject, content = in_present_form(letter.subject, content)
            decode_any(subject, {}, content)
        except MalformedMessageError as error:
            raise NotDeliverableError(
                f"letter {letter.id} would be rejected again: {error}; correct the body and retry with --body FILE"
            ) from None
        try:
            await self._context.consumer_info(letter.stream, letter.consumer)
        except nats.js.errors.NotFoundError:
            raise NotDeliverableError(
                f"letter {letter.id} cannot be delivered: there is no consumer {letter.consumer} on {letter.stream} "
                "any more; `ropewalk dead drop` sets the letter aside for good"
            ) from None
        return subject, content

    async def retry(self, letter: DeadLetter, body: bytes | None = None, *, dry_run: bool = False) -> Retried:
        """Deliver a letter again to the consumer that rejected it, with the ids it had. A repetition has no effect.

        `dry_run` delivers nothing, and has the subject in the present form. Raises NotDeliverableError as `check` does.
        """
        if letter.status == "retried":
            return self._retried(letter, int(letter.mark["sequence"]), repeated=True)
        subject, content = await self.check(letter, body)
        if dry_run:
            return replace(self._retried(letter, 0, repeated=False), subject=subject)
        sequence = await self._redelivered(letter, subject)
        repeated = bool(sequence)
        if not repeated:
            sequence = await self._deliver(letter, subject, content, corrected=body is not None)
        won = await self._mark(letter, "retried", {"sequence": sequence, "subject": subject})
        return self._retried(letter, sequence, repeated=repeated or not won)

    async def drop(self, letter: DeadLetter, reason: str) -> bool:
        """Settle a letter for good. False if somebody had settled it before."""
        return letter.status == "open" and await self._mark(letter, "dropped", {"reason": reason})

    async def _whole_body(self, letter: DeadLetter) -> bytes:
        """The body, from the stream if the letter was too large to hold it. Raises NotDeliverableError."""
        if wire.LEFT_OUT not in letter.headers:
            return letter.body
        async for raw in self._bus.raw(
            letter.subject, stream=letter.stream, first=letter.sequence, last=letter.sequence
        ):
            return raw.body
        raise NotDeliverableError(
            f"letter {letter.id} cannot be delivered: its body ({letter.headers[wire.LEFT_OUT]} bytes) was left in "
            f"{letter.stream}, which does not hold it any more"
        )

    async def _redelivered(self, letter: DeadLetter, subject: str) -> int:
        """Where the redelivery lies if an interrupted retry has sent it already, else 0."""
        async for raw in self._bus.raw(subject, stream=letter.stream, first=letter.sequence):
            if raw.headers.get(wire.RETRY_OF) == str(letter.id):
                return raw.sequence
        return 0

    async def _deliver(self, letter: DeadLetter, subject: str, body: bytes, *, corrected: bool) -> int:
        headers = wire.redelivery(letter.headers, letter.id, subject, corrected=corrected)
        try:
            return (await self._context.publish(subject, body, headers=headers, stream=letter.stream)).seq
        except nats.errors.Error as error:
            raise BusError(f"letter {letter.id} could not be delivered again: {error}") from None

    async def _mark(self, letter: DeadLetter, status: Status, facts: dict[str, Any]) -> bool:
        """Settle a letter by compare-and-set. False if somebody was first."""
        headers = {wire.EXPECTED_SEQUENCE: str(letter.id), wire.MARK: status, wire.SUBJECT: letter.subject}
        content = {**facts, "by": _who(), "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        try:
            await self._context.publish(letter.place, json.dumps(content).encode(), headers=headers, stream=DLQ)
        except nats.errors.Error as error:  # a reason of a megabyte, say
            if isinstance(error, nats.js.errors.APIError) and error.err_code in WRONG_SEQUENCE:
                return False
            raise BusError(f"letter {letter.id} could not be marked as {status}: {error}") from None
        return True

    @staticmethod
    def _retried(letter: DeadLetter, sequence: int, *, repeated: bool) -> Retried:
        return Retried(
            id=letter.id, consumer=letter.consumer, subject=letter.subject, sequence=sequence, repeated=repeated
        )


async def refusal_of(bus: Bus, request: Message, after: int) -> str:
    """Why a consumer set a request aside, once one has; `after` is where DLQ ended before the request was sent."""
    body = request.model_dump_json().encode()
    while True:
        async for raw in bus.raw("dlq.>", stream=DLQ, first=after + 1):
            after = raw.sequence
            if raw.body == body:
                return _letter(raw).error
        await asyncio.sleep(_LOOK_S)
        pass_on_cancellation()


def _letter(raw: RawMessage) -> DeadLetter:
    headers = raw.headers
    return DeadLetter(
        id=raw.sequence,
        stream=headers.get(wire.STREAM, ""),
        sequence=int(headers.get(wire.SEQUENCE, "0")),
        consumer=headers.get(wire.CONSUMER, ""),
        subject=headers.get(wire.SUBJECT, ""),
        error=headers.get(wire.ERROR, ""),
        time=raw.time.isoformat(),
        message_time=headers.get(wire.TIME, ""),
        deliveries=int(headers.get(wire.DELIVERIES, "1")),
        headers=headers,
        body=raw.body,
        place=raw.subject,
        retry_of=int(headers.get(wire.RETRY_OF, "0")),
    )


def _who() -> str:
    uid = os.getuid()
    try:
        return f"{pwd.getpwuid(uid).pw_name}@{os.uname().nodename}"
    except KeyError:  # a container's arbitrary user
        return f"{uid}@{os.uname().nodename}"
