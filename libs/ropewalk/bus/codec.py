"""Between messages and bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from pydantic import ValidationError

from ropewalk.bus.errors import MalformedMessageError
from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.events.foreign import cut, one_line, quoted
from ropewalk.events.registry import UnknownMessageError, message_type, type_of_subject
from ropewalk.events.upcasters import UPCASTERS, present_form

M_co = TypeVar("M_co", bound=Message, covariant=True)
_MAX_VIOLATIONS = 10  # sentences in one error: a body may be wrong in a million places
_FAMILY = "ropewalk."


@dataclass(frozen=True)
class Stored(Generic[M_co]):
    """A message that lies in a stream, decoded."""

    sequence: int
    time: datetime
    envelope: Envelope
    message: M_co


@dataclass(frozen=True)
class RawMessage:
    """A message as it lies in a stream, not decoded. `time` is when the server stored it."""

    subject: str
    sequence: int
    time: datetime
    headers: Mapping[str, str]
    body: bytes

    def envelope(self) -> Envelope:
        """What its headers say, completed from where it lies."""
        return Envelope.from_headers(
            self.headers, subject=self.subject, stored=lambda: (self.sequence, self.time.isoformat())
        )


def decoded(raw: RawMessage) -> Stored[Message]:
    """Validate a message. Raises MalformedMessageError."""
    message = decode_any(raw.subject, raw.headers, raw.body)
    return Stored(raw.sequence, raw.time, raw.envelope(), message)


def now_rfc3339() -> str:
    """The time in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def in_present_form(subject: str, body: bytes) -> tuple[str, bytes]:
    """Subject and body of a message as its type is written today. Raises MalformedMessageError."""
    prefix, _, entity = subject.rpartition(".")
    written = _FAMILY + prefix
    if written not in UPCASTERS:
        return subject, body
    try:
        fields = json.loads(body)
        if not isinstance(fields, dict):
            raise MalformedMessageError("the body is not a JSON object")
        type_name, fields = present_form(written, fields)
    except json.JSONDecodeError as error:
        raise MalformedMessageError(f"the body is not JSON ({error})") from None
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {cut(str(error))}"
        raise MalformedMessageError(f"the body does not fit {written} ({why})") from None
    return f"{type_name.removeprefix(_FAMILY)}.{entity}", json.dumps(fields).encode()


def decode(kind: type[Message], subject: str, body: bytes) -> Message:
    """Validate a body, older forms included. Raises MalformedMessageError with a sentence per violation."""
    subject, body = in_present_form(subject, body)
    try:
        message = kind.model_validate_json(body)
    except ValidationError as error:
        violations = [sentence_of(dict(item)) for item in error.errors()[:_MAX_VIOLATIONS]]
        if error.error_count() > _MAX_VIOLATIONS:
            violations.append(f"and {error.error_count() - _MAX_VIOLATIONS:,} more")
        raise MalformedMessageError("; ".join(violations)) from None
    if message.subject != subject:
        raise MalformedMessageError(
            f"{kind.about} is {message.entity!r}, but the message came on {subject!r}: "
            f"publish it on {message.subject!r}"
        )
    return message


def decode_any(subject: str, headers: Mapping[str, str], body: bytes) -> Message:
    """Validate a body whose type its headers or its subject name. Raises MalformedMessageError."""
    present, body = in_present_form(subject, body)
    try:
        named = headers.get("ce-type", "") if present == subject else ""  # an older form is named by its old type
        kind = message_type(named) if named else type_of_subject(present)
    except UnknownMessageError as error:
        raise MalformedMessageError(str(error)) from None
    return decode(kind, present, body)


def sentence_of(item: dict[str, object]) -> str:
    """One of pydantic's findings in words that name the field and its value."""
    location = item["loc"]
    assert isinstance(location, tuple)
    field = one_line(".".join(str(part) for part in location))
    if item["type"] == "json_invalid":
        return f"the body is not JSON ({item['msg']})"
    if item["type"] == "missing":
        return f"field {field!r} is missing"
    return f"field {field!r} has the value {quoted(item['input'])}: {cut(str(item['msg']))}"
