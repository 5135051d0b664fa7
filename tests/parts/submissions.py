"""Submissions of a run, the log they meet, and what became of them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ropewalk.bus.codec import Stored
from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import RunAccepted, RunRejected, SubmitRun

M = TypeVar("M", bound=Message)


WEIGHTS = "\x02" + "\0" * 7 + "{}"  # a whole safetensors file without tensors


TOKENIZER = '{"model": {"vocab": {}}}'


class Past:
    """A timeline of given messages."""

    def __init__(self, *messages: Message) -> None:
        self._messages = messages

    async def last(self, kind: type[M], run_id: str) -> M | None:
        matching = [message for message in self._messages if isinstance(message, kind) and message.entity == run_id]
        return matching[-1] if matching else None

    async def end(self) -> int:
        return len(self._messages)

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Stored[Message]]:
        for number, message in enumerate(self._messages[after:], start=after + 1):
            envelope = Envelope(
                id=f"e{number}", type=message.type_name(), source="test", time="", run_id="", cause_id=""
            )
            yield Stored(number, datetime.now(UTC), envelope, message)


def a_submission(tmp_path: Path, **fields: object) -> SubmitRun:
    texts = tmp_path / "texts"
    texts.mkdir(exist_ok=True)
    for name in ("one", "two"):
        (texts / f"{name}.txt").write_text(f"{name} line of prose\n" * 100)
    recipe = {"sources": [{"path": str(texts), "licence": "MIT"}], **fields}
    return SubmitRun.model_validate({"run_id": "r1", "recipe": recipe})


def the_accepted(outcome: Outcome) -> RunAccepted:
    assert isinstance(outcome, Done)
    (message,) = outcome.messages
    assert isinstance(message, RunAccepted)
    return message


def the_violations(outcome: Outcome) -> tuple[str, ...]:
    assert isinstance(outcome, Done)
    (message,) = outcome.messages
    assert isinstance(message, RunRejected)
    return message.violations
