"""Reading a whole stream as fast as the server sends it: direct gets of many messages, no consumer, no acks.

The messages are as good as a consumer's, but nobody waits for new ones: at the end of the stream the reading ends.
A mirror answers direct gets for itself, so reading AUDIT costs CONTROL nothing.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ropewalk.bus.codec import RawMessage, Stored, decoded
from ropewalk.bus.errors import BusError, MalformedMessageError
from ropewalk.bus.settings import NatsSettings
from ropewalk.bus.wire import Address, Frame, Wire, header_values
from ropewalk.events.base import Message
from ropewalk.events.registry import BY_TYPE_NAME
from ropewalk.events.upcasters import newest_type

_BATCH = 10_000  # messages of one answer; one that is abandoned must still be read to its end
_PLACE = b"\r\nNats-Stream: "
_AT_THE_END = (b"404", b"204")  # nothing is there; that was all of the batch


class UnparsedMessage(NamedTuple):
    """A message as it lies in a stream. Its time and headers are still text, since most are never looked at.

    `time` is RFC 3339 in nanoseconds, `headers` the block of header lines. Parsing them costs as much as reading.
    """

    sequence: int
    time: str
    subject: str
    headers: bytes
    body: bytes

    def parsed(self) -> RawMessage:
        """As every other reader gives it."""
        time = datetime.fromisoformat(self.time)
        return RawMessage(self.subject, self.sequence, time, header_values(self.headers), self.body)


@dataclass(frozen=True)
class StreamEnds:
    """How far a stream goes: its first and last sequence and how many messages lie between."""

    first: int
    last: int
    messages: int


def address_of(settings: NatsSettings) -> Address:
    """The same server and user for a blocking connection."""
    return Address(
        url=settings.url,
        user=settings.user,
        password=settings.password,
        nkey_file=str(settings.nkey_file or ""),
        tls_ca=str(settings.tls_ca or ""),
    )


def stream_ends(wire: Wire, stream: str) -> StreamEnds:
    """Ask the stream's leader. Raises BusError if there is no such stream."""
    answer = json.loads(wire.request(f"$JS.API.STREAM.INFO.{stream}", b"").body)
    if error := answer.get("error"):
        raise BusError(f"stream {stream}: {error.get('description', error)}; `ropewalk bus apply` creates it")
    state = answer["state"]
    return StreamEnds(state["first_seq"], state["last_seq"], state["messages"])


def read_raw(
    wire: Wire, stream: str, start: int, *, last: int | None = None, limit: int | None = None
) -> Iterator[UnparsedMessage]:
    """Messages from sequence `start` to the end, or to `last` (included), but at most `limit`. Raises WireError."""
    subject = f"$JS.API.DIRECT.GET.{stream}"
    following, left = max(start, 1), limit
    while (last is None or following <= last) and left != 0:
        count = min(_BATCH, left or _BATCH, last - following + 1 if last else _BATCH)
        received = 0
        for frame in wire.request_many(subject, json.dumps({"seq": following, "batch": count}).encode()):
            if frame.status:  # the last frame of a batch, with no message in it
                _check_status(frame, stream)
                continue
            raw = _raw(frame)
            following, received = raw.sequence + 1, received + 1
            if last is None or raw.sequence <= last:  # a batch counts messages, so behind gaps it goes beyond
                yield raw
        if not received:
            return
        left = None if left is None else left - received


def decoded_if(raw: UnparsedMessage, kinds: Collection[type[Message]]) -> Stored[Message] | None:
    """The message, if it is of one of the types and well-formed; a malformed one is a dead letter elsewhere."""
    kind = BY_TYPE_NAME.get(newest_type("ropewalk." + raw.subject.rpartition(".")[0]))
    if kind not in kinds:
        return None
    try:
        return decoded(raw.parsed())
    except MalformedMessageError:
        return None


def _raw(frame: Frame) -> UnparsedMessage:
    """The server's own headers come last: `Nats-Stream`, `Nats-Subject: `, `Nats-Sequence: `, `Nats-Time-Stamp: `."""
    at = frame.headers.rfind(_PLACE)
    place = frame.headers[at + 2 :].decode().split("\r\n")
    subject, sequence, time = (place[1][14:], place[2][15:], place[3][17:])
    return UnparsedMessage(int(sequence), time, subject, frame.headers[:at], frame.body)


def _check_status(frame: Frame, stream: str) -> None:
    if frame.status not in _AT_THE_END:
        raise BusError(f"stream {stream} cannot be read: {frame.headers[9:].decode(errors='replace')}")
