"""A store in this process, and traffic to fill it. chDB keeps one folder per process open at a time."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ropewalk.bus.batches import Batch
from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.envelope import Envelope, derived_id
from ropewalk.events.label import LabelGiven, LabelWithdrawn
from ropewalk.events.score import ScoreBatch, ScoredItem
from ropewalk.events.serving import RequestLog, RequestLogBatch
from ropewalk.monitor.adapters.clickhouse import open_embedded

_START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)  # old rows would be dropped by their age
_CODE = (
    "def handle_{n}(self, value):\n    if value is None:\n        raise ValueError({n})\n    return self.table[value]\n"
)
_PROSE = "Die größeren Gemeinden beschließen heute früh, dass {n} Schüler über neue Wege zur Schule kommen. "


@pytest.fixture
def open_store(tmp_path) -> Callable[[], Any]:
    """Opens the store of this test, as often as it likes (one after the other)."""
    return lambda: open_embedded(tmp_path / "store")


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Iterator[Any]:
    """One store per module; it knows no event loop, so every test may use it from its own."""
    opened = asyncio.run(open_embedded(tmp_path_factory.mktemp("engine")))
    yield opened
    asyncio.run(opened.close())


@pytest.fixture
async def store(engine) -> Any:
    """The store of the module without a row in it, as far as a test can tell."""
    for row in await engine.query("SELECT name FROM system.tables WHERE database = 'ropewalk' AND engine LIKE '%Tree'"):
        if row["name"] != "schema_version":
            await engine.command(f"TRUNCATE TABLE ropewalk.{row['name']}")
    return engine


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Finds a port that nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def unused_port(free_port) -> int:
    return free_port()


def a_request(number: int, *, shifted: bool = False, **fields: Any) -> RequestLog:
    time = (_START + timedelta(seconds=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    prompt = (_PROSE if shifted else _CODE).format(n=number * 7919 % 1000)
    usual: dict[str, Any] = {
        "time": time, "request_id": f"request-{number}", "trace_id": "", "key_id": "demo", "model": "python-stdlib",
        "model_version": 1, "run_id": "run-1", "checkpoint_id": "run-1-1-9", "route": "completions", "status": 200,
        "finish_reason": "length", "stream": False, "latency_ms": 80.0 + number * 37 % 20, "ttft_ms": 12.0,
        "prompt_tokens": 9, "completion_tokens": 16, "prompt": prompt[: 60 + number * 31 % 40], "completion": "pass",
        "logprob_mean": -1.0 - number * 53 % 17 / 30, "error": "",
    }  # fmt: skip
    return RequestLog.model_validate(usual | fields)


def scores(scorer: str, *, first: int = 0, look: int = 1) -> ScoreBatch:
    """Three items of one metric."""
    found = tuple(ScoredItem(item_id=f"i{n}", cluster="a", num_bytes=9, value=n / 2 + len(scorer)) for n in range(3))
    return ScoreBatch(
        run_id="run-1", checkpoint_id="run-1-1-9", look=look, metric="acc", task_set="copying@1", scorer=scorer,
        first=first, scores=found,
    )  # fmt: skip


def label(position: int, *, rater: str = "ann", taken_back: bool = False) -> LabelGiven | LabelWithdrawn:
    place = {"task_set_id": "letters", "version": 2, "sheet_id": f"s{position}", "rater": rater, "position": position}
    if taken_back:
        return LabelWithdrawn.model_validate(place)
    said = {
        "item_id": f"i{position}",
        "criterion": "correctness",
        "scale": "0-3",
        "grade": position % 4,
        "seconds": 3.5,
    }
    return LabelGiven.model_validate(place | said)


def packed(requests: list[RequestLog], *, size: int, first_sequence: int = 1) -> list[Stored[Message]]:
    """The requests as messages of `size` rows, as they lie in the stream."""
    items: list[Stored[Message]] = []
    for start in range(0, len(requests), size):
        message = RequestLogBatch(run_id="run-1", rows=tuple(requests[start : start + size]))
        sequence = first_sequence + start // size
        items.append(in_stream(message, sequence))
    return items


def in_stream(message: Message, sequence: int) -> Stored[Message]:
    envelope = Envelope(
        id=f"message-{sequence}",
        type=message.type_name(),
        source="/svc/serving",
        time=_START.isoformat(),
        run_id=message.run_id,
    )
    return Stored(sequence, _START, envelope, message)


@dataclass
class Facts:
    """A log of facts in memory: ids are derived, and a repeated id is dropped, as on the bus.

    `attempts` counts the facts that were sent; telemetry may be sent again.
    """

    published: dict[str, Message] = field(default_factory=dict)
    attempts: int = 0

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "") -> None:
        self.attempts += message.plane == "evt"
        self.published.setdefault(derived_id(cause_id, message.type_name(), key), message)

    async def read(self, subject_filter: str) -> AsyncIterator[Stored[Message]]:
        prefix = subject_filter.removesuffix("*")
        for sequence, (message_id, message) in enumerate(list(self.published.items()), start=1):
            if not message.subject.startswith(prefix):
                continue
            envelope = Envelope(id=message_id, type=message.type_name(), source="", time="", run_id=message.run_id)
            yield Stored(sequence, _START, envelope, message)


@dataclass
class Stream:
    """Delivers batches cut as told, and again from the first that was not acknowledged."""

    items: list[Stored[Message]]
    acknowledged: set[int] = field(default_factory=set)
    dead: list[str] = field(default_factory=list)

    async def batches(self, consumer: ConsumerSpec, *, max_messages: int, max_wait_s: float) -> AsyncIterator[Batch]:
        waiting = [item for item in self.items if item.sequence not in self.acknowledged]
        for start in range(0, len(waiting), max_messages):
            cut = waiting[start : start + max_messages]

            async def ack(cut: list[Stored[Message]] = cut) -> None:
                self.acknowledged |= {item.sequence for item in cut}

            async def keep() -> None: ...

            yield Batch(cut, [], ack, keep)

    async def dead_letter(self, stored_in: str, consumer: str, raw: Any, error: str) -> None:
        self.dead.append(error)


@pytest.fixture
def make() -> Any:
    """The builders above, for test modules."""

    class Make:
        request = staticmethod(a_request)
        packed = staticmethod(packed)
        in_stream = staticmethod(in_stream)
        scores = staticmethod(scores)
        label = staticmethod(label)
        Facts = Facts
        Stream = Stream

    return Make


@pytest.fixture
def in_thread() -> Iterator[Callable[[Callable[[], None]], threading.Thread]]:
    """Runs a function in a thread that is awaited at the end."""
    threads: list[threading.Thread] = []

    def start(work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
