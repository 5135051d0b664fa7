"""A timeline and an object store for handlers: memory that remembers, a real folder."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.runtime.codec import Stored
from ropewalk.storage.local import LocalObjects


class MemoryTimeline:
    """Answers as the bus does, from a list."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def last(self, kind: type[Message], run_id: str) -> Message | None:
        found = [message for message in self.messages if type(message) is kind and message.run_id == run_id]
        return found[-1] if found else None

    async def read(self, subject_filter: str) -> AsyncIterator[Stored[Message]]:
        for sequence, message in enumerate(self.messages, start=1):
            if fnmatch(message.subject, subject_filter):
                envelope = Envelope(id=str(sequence), type="t", source="s", time="", run_id=message.run_id)
                yield Stored(sequence, datetime.now(UTC), envelope, message)


@pytest.fixture
def timeline() -> MemoryTimeline:
    return MemoryTimeline()


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")
