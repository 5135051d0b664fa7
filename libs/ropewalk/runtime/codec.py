"""Between messages and bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from pydantic import ValidationError

from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.events.registry import UnknownMessageError, message_type, type_of_subject
from ropewalk.runtime.errors import MalformedMessageError

M_co = TypeVar("M_co", bound=Message, covariant=True)
_MAX_SHOWN = 80


@dataclass(frozen=True)
class Stored(Generic[M_co]):
    """A message as it lies in a stream."""

    sequence: int
    time: datetime
    envelope: Envelope
    message: M_co


def now_rfc3339() -> str:
    """The time in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def decode(kind: type[Message], subject: str, body: bytes) -> Message:
    """Validate a body. Raises MalformedMessageError with a sentence per violation."""
    try:
        message = kind.model_validate_json(body)
    except ValidationError as error:
        raise MalformedMessageError("; ".join(_sentence(dict(item)) for item in error.errors())) from None
    if message.subject != subject:
        raise MalformedMessageError(
            f"run_id is {message.run_id!r}, but the message came on {subject!r}: publish it on {message.subject!r}"
        )
    return message


def decode_any(subject: str, headers: Mapping[str, str], body: bytes) -> Message:
    """Validate a body whose type its headers or its subject name. Raises MalformedMessageError."""
    try:
        named = headers.get("ce-type", "")
        kind = message_type(named) if named else type_of_subject(subject)
    except UnknownMessageError as error:
        raise MalformedMessageError(str(error)) from None
    return decode(kind, subject, body)


def _sentence(item: dict[str, object]) -> str:
    location = item["loc"]
    assert isinstance(location, tuple)
    field = ".".join(str(part) for part in location)
    if item["type"] == "json_invalid":
        return f"the body is not JSON ({item['msg']})"
    if item["type"] == "missing":
        return f"field {field!r} is missing"
    shown = repr(item["input"])
    shown = shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + "…"
    return f"field {field!r} has the value {shown}: {item['msg']}"
