"""What is asked of the process of a template, within which bounds, what it answers, and how that travels."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal

CPU_S = 2.0  # for one task; a megabyte of messages needs some 0.1
MAX_MEMORY = 1 << 30  # bytes of address space

CharSpan = tuple[int, int]  # characters [begin, end)
Messages = Sequence[dict[str, Any]]
Kind = Literal["prompt", "conversation", "last_answer"]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A text to encode. Every span counts characters, [begin, end).

    Added tokens are meant at `marks`, and nowhere else; `answers` is what the assistant says, where that was asked
    for; `spelled` are marks that a message only writes.
    """

    text: str
    marks: tuple[CharSpan, ...] = ()
    answers: tuple[CharSpan, ...] = ()
    spelled: tuple[str, ...] = ()


def read_message(stream: IO[bytes]) -> Any:
    """The next message, eight bytes of length and JSON; None at the end."""
    header = stream.read(8)
    return json.loads(stream.read(int.from_bytes(header, "big"))) if len(header) == 8 else None


def write_message(stream: IO[bytes], message: Any) -> None:
    """Send a message."""
    content = json.dumps(message).encode()
    stream.write(len(content).to_bytes(8, "big") + content)
    stream.flush()
