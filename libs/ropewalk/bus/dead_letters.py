"""What a dead letter looks like on the bus, and how one is delivered again to the consumer that rejected it.

A letter has a subject of its own, `dlq.<stream>.<consumer>.<sequence>-<hash of the body>`, and may only be the first
message there: however often a message is rejected, it is one letter. What became of it (retried, dropped) is a mark
on the same subject, written by compare-and-set, so no two operators settle a letter twice and nothing vanishes
silently. The body stays in its stream when the letter would otherwise be larger than a message may be.

A redelivery lies in the stream under a message id of its own, since the server would drop a repetition, and keeps
the `ce-id` of the original: the ids of whatever follows from it are the same, so effects stay once.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ropewalk.bus.incoming import Incoming
from ropewalk.bus.sending import Outgoing
from ropewalk.events.envelope import Envelope
from ropewalk.events.foreign import cut, one_line

ERROR = "ropewalk-error"
SUBJECT = "ropewalk-subject"
STREAM = "ropewalk-stream"
SEQUENCE = "ropewalk-sequence"
CONSUMER = "ropewalk-consumer"
DELIVERIES = "ropewalk-deliveries"
TIME = "ropewalk-time"
MARK = "ropewalk-mark"
ONLY_FOR = "ropewalk-only-for"
RETRY_OF = "ropewalk-retry-of"
CORRECTED = "ropewalk-corrected"
LEFT_OUT = "ropewalk-left-out"  # bytes of a body that lies in the stream only
EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_ON = "Nats-Expected-Last-Subject-Sequence-Subject"

_MAX_ERROR = 1000  # characters: it becomes a header
_MAX_HEADERS, _MAX_HEADER = 40, 1000  # kept of the sender's, who may be anybody
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)  # others' clients write names that ours would not
_SPARE_BYTES = 1024  # what the server and a batch add to the headers
_OWN = "ropewalk-"


def dead_letter(raw: Incoming, stored_in: str, consumer: str, error: str, most_bytes: int) -> Outgoing:
    """What sets a raw message aside; its body stays as it is unless the letter would have more than `most_bytes`."""
    sequence = raw.metadata.sequence.stream
    received = raw.headers or {}
    foreign = [(name, value) for name, value in received.items() if not name.startswith(("Nats-", _OWN))]
    headers = {name: value[:_MAX_HEADER] for name, value in foreign[:_MAX_HEADERS] if _NAME.fullmatch(name)}
    if RETRY_OF in received:
        headers[RETRY_OF] = received[RETRY_OF]
    headers |= {
        EXPECTED_SEQUENCE: "0",  # a second rejection of the same message is no second letter
        ERROR: one_line(" ".join(cut(error, 2 * _MAX_ERROR).split()), _MAX_ERROR).encode("ascii", "replace").decode(),
        SUBJECT: raw.subject,
        STREAM: stored_in,
        SEQUENCE: str(sequence),
        CONSUMER: consumer,
        DELIVERIES: str(raw.metadata.num_delivered or 1),
        TIME: (raw.metadata.timestamp or datetime.now(UTC)).astimezone(UTC).isoformat(),
    }
    subject = f"dlq.{stored_in}.{consumer}.{sequence}-{hashlib.sha256(raw.data).hexdigest()[:8]}"
    letter = Outgoing(subject=subject, body=raw.data, headers=headers)
    if letter.num_bytes + _SPARE_BYTES <= most_bytes:
        return letter
    return replace(letter, body=b"", headers=headers | {LEFT_OUT: str(len(raw.data))})


def redelivery(letter: Mapping[str, str], letter_id: int, subject: str, *, corrected: bool) -> dict[str, str]:
    """Headers of the message that brings a letter back to its consumer on `subject`, from the letter's headers."""
    envelope = Envelope.from_headers(
        letter, subject=letter[SUBJECT], stored=lambda: (int(letter[SEQUENCE]), letter.get(TIME, ""))
    )
    headers = {name: value for name, value in letter.items() if not name.startswith(("Nats-", _OWN))}
    headers |= {
        "Nats-Msg-Id": f"retry/{letter_id}",
        "ce-id": envelope.id,  # a sender without headers got its id from where the original lies
        "ce-time": envelope.time,
        "ce-type": "ropewalk." + subject.rpartition(".")[0],
        ONLY_FOR: letter[CONSUMER],
        RETRY_OF: str(letter_id),
    }
    return headers | ({CORRECTED: "1"} if corrected else {})


def is_for(headers: Mapping[str, str] | None, consumer: str) -> bool:
    """Whether a consumer should look at a message: a redelivery concerns only the one that rejected it."""
    return not headers or headers.get(ONLY_FOR, consumer) == consumer


def repeats_the_log(headers: Mapping[str, str] | None) -> bool:
    """Whether a reader of the whole log has seen this message already, where its original lies.

    A corrected one counts: its original could not be read.
    """
    return bool(headers) and RETRY_OF in (headers or {}) and CORRECTED not in (headers or {})
