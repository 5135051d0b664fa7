"""Request logs: packed per version, kept over an outage, replayed with the same ids."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ropewalk.events.base import Message
from ropewalk.events.serving import RequestLog, RequestLogBatch
from ropewalk.serving.adapters.request_log import MAX_ROWS, RequestLogPublisher, pack


def a_row(number: int, run_id: str = "run-1", prompt: str = "p") -> RequestLog:
    return RequestLog(
        time="2026-01-01T00:00:00.000+00:00",
        request_id=f"{run_id}-{number}",
        trace_id="",
        key_id="demo",
        model="demo",
        model_version=1,
        run_id=run_id,
        checkpoint_id="c",
        route="completions",
        status=200,
        finish_reason="stop",
        stream=False,
        latency_ms=1.0,
        ttft_ms=1.0,
        prompt_tokens=1,
        completion_tokens=1,
        prompt=prompt,
        completion="c",
        logprob_mean=-1.0,
        error="",
    )


class Store:
    """A publisher that drops repetitions as JetStream does, and can be away."""

    def __init__(self) -> None:
        self.here = asyncio.Event()
        self.here.set()
        self.batches: dict[tuple[str, str], RequestLogBatch] = {}

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "") -> None:
        await self.here.wait()
        assert isinstance(message, RequestLogBatch)
        self.batches.setdefault((cause_id, key), message)

    @property
    def request_ids(self) -> list[str]:
        return [row.request_id for batch in self.batches.values() for row in batch.rows]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_packing_keeps_order_versions_apart_and_both_limits() -> None:
    rows = [a_row(number, f"run-{number % 2}") for number in range(2 * MAX_ROWS + 10)]
    batches = list(pack(rows))
    assert [(batch.run_id, len(batch.rows)) for batch in batches] == [
        ("run-0", MAX_ROWS), ("run-0", 5), ("run-1", MAX_ROWS), ("run-1", 5),
    ]  # fmt: skip
    numbers = [int(row.request_id.split("-")[2]) for row in batches[0].rows]
    assert numbers == sorted(numbers)
    large = list(pack(a_row(number, prompt="x" * 30_000) for number in range(20)))
    assert max(len(batch.model_dump_json()) for batch in large) < 500_000
    assert sum(len(batch.rows) for batch in large) == 20


async def test_rows_arrive_packed(tmp_path: Path) -> None:
    sink, store = RequestLogPublisher(tmp_path / "log.jsonl", 1000), Store()
    running = asyncio.create_task(sink.run(store))
    for number in range(50):
        sink.put(a_row(number))
    await until(lambda: len(store.request_ids) == 50)
    assert len(store.batches) == 1
    await stop(running)


async def test_an_outage_longer_than_memory_loses_and_doubles_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "log.jsonl"
    sink, store = RequestLogPublisher(spool, 150), Store()
    store.here.clear()
    running = asyncio.create_task(sink.run(store))
    for number in range(1000):
        sink.put(a_row(number))
        if number % 200 == 0:
            await asyncio.sleep(0)
    assert spool.exists()
    store.here.set()
    await until(lambda: len(store.request_ids) >= 150)
    sink.put(a_row(1000))
    await until(lambda: len(store.request_ids) >= 1001)
    assert sorted(store.request_ids) == sorted(f"run-1-{number}" for number in range(1001))
    assert not spool.exists()
    await stop(running)


async def test_what_a_stopped_process_left_is_sent_by_the_next_one(tmp_path: Path) -> None:
    spool, store = tmp_path / "log.jsonl", Store()
    store.here.clear()
    first = RequestLogPublisher(spool, 1000)
    running = asyncio.create_task(first.run(store))
    for number in range(120):
        first.put(a_row(number))
    await asyncio.sleep(0)
    await stop(running)
    assert store.batches == {}

    store.here.set()
    second = RequestLogPublisher(spool, 1000)
    running = asyncio.create_task(second.run(store))
    await until(lambda: len(store.request_ids) == 120)
    await stop(running)


async def test_a_replay_cut_short_repeats_the_same_ids(tmp_path: Path) -> None:
    batch = next(iter(pack([a_row(1), a_row(2)])))
    (tmp_path / "log.replaying").write_text(batch.model_dump_json() + "\n")
    (tmp_path / "log.jsonl").write_text(batch.model_dump_json() + "\n")
    store = Store()
    running = asyncio.create_task(RequestLogPublisher(tmp_path / "log.jsonl", 1000).run(store))
    await until(lambda: not (tmp_path / "log.jsonl").exists() and not (tmp_path / "log.replaying").exists())
    assert store.request_ids == ["run-1-1", "run-1-2"]
    await stop(running)
