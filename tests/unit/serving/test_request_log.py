"""Request logs: bounded, packed per version, kept over an outage and a kill, replayed with the same ids."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ropewalk.bus.errors import BusError, DeniedError
from ropewalk.events.base import Message
from ropewalk.events.serving import RequestLog, RequestLogBatch
from ropewalk.serving.adapters import spool as spool_module
from ropewalk.serving.adapters.request_log import MAX_ROWS, RequestLogPublisher, bounded, pack
from ropewalk.serving.adapters.spool import Spool

MEGABYTE = 1 << 20  # what a NATS message may have


def a_row(number: int, run_id: str = "run-1", prompt: str = "p", error: str = "") -> RequestLog:
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
        error=error,
    )


class Store:
    """A publisher that drops repetitions as JetStream does, can be away, and refuses what is too large."""

    def __init__(self) -> None:
        self.here = asyncio.Event()
        self.here.set()
        self.batches: dict[tuple[str, str], RequestLogBatch] = {}
        self.denials = 0
        self.num_refused = 0

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "") -> None:
        await self.here.wait()
        assert isinstance(message, RequestLogBatch)
        if self.denials:
            self.denials -= 1
            raise DeniedError("not yet")
        if len(message.model_dump_json()) > MEGABYTE:
            self.num_refused += 1
            raise BusError("too large")
        self.batches.setdefault((cause_id, key), message)

    @property
    def request_ids(self) -> list[str]:
        return [row.request_id for batch in self.batches.values() for row in batch.rows]


def a_spool(folder: Path, max_bytes: int = 1 << 30, rows_in_memory: int = 1000) -> Spool:
    return Spool(folder / "request-log", max_bytes, rows_in_memory)


def ids(numbers: range) -> list[str]:
    return [f"run-1-{number}" for number in numbers]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def sent_by_a_new_process(folder: Path, store: Store, num_rows: int) -> None:
    running = asyncio.create_task(RequestLogPublisher(a_spool(folder)).run(store))
    await until(lambda: len(store.request_ids) >= num_rows and not list(folder.glob("request-log/*.jsonl")))
    await stop(running)


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


@pytest.mark.parametrize("text", ["x", "\x01", "\U0001f600", "\ud800", '"', "ก"])
def test_whatever_a_client_sends_a_row_and_a_full_batch_of_such_rows_fit_into_a_message(text: str) -> None:
    fields = dict.fromkeys(("model", "key_id", "prompt", "completion", "error", "finish_reason"), text * 400000)
    rows = [bounded(a_row(number).model_copy(update=fields)) for number in range(MAX_ROWS)]
    assert max(len(batch.model_dump_json().encode()) for batch in pack(rows)) < MEGABYTE
    assert RequestLog.model_validate_json(rows[0].model_dump_json()) == rows[0]


async def test_rows_arrive_packed(tmp_path: Path) -> None:
    sink, store = RequestLogPublisher(a_spool(tmp_path)), Store()
    running = asyncio.create_task(sink.run(store))
    await asyncio.sleep(0)
    for number in range(50):
        sink.put(a_row(number))
    await until(lambda: len(store.request_ids) == 50 and not list((tmp_path / "request-log").iterdir()))
    assert len(store.batches) == 1
    await stop(running)


async def test_an_outage_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 10_000)
    sink, store = RequestLogPublisher(a_spool(tmp_path)), Store()
    store.here.clear()
    running = asyncio.create_task(sink.run(store))
    for number in range(1000):
        sink.put(a_row(number))
        if number % 200 == 0:
            await asyncio.sleep(0)
    store.here.set()
    await until(lambda: len(store.request_ids) >= 1000)
    assert sorted(store.request_ids) == sorted(ids(range(1000)))
    await stop(running)


WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_request_log import RequestLogPublisher, a_row, a_spool
sink = RequestLogPublisher(a_spool(Path(sys.argv[1])))
number = 0
while True:
    sink.put(a_row(number))
    print(number, flush=True)
    number += 1
"""


async def test_a_process_that_is_killed_while_the_bus_is_away_loses_no_row_it_has_taken(tmp_path: Path) -> None:
    arguments = ("-c", WRITER, str(tmp_path), str(Path(__file__).parent))
    writer = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    async with asyncio.timeout(60):
        while int(await writer.stdout.readline()) < 500:
            pass
    os.kill(writer.pid, signal.SIGKILL)
    *_, last = [500, *(await writer.stdout.read()).split()]
    await writer.wait()

    store = Store()
    await sent_by_a_new_process(tmp_path, store, int(last) + 1)
    assert store.request_ids[: int(last) + 1] == ids(range(int(last) + 1))
    assert len(store.request_ids) <= int(last) + 2  # the row that was written and not yet told


async def test_a_segment_that_was_half_sent_is_sent_again_under_the_same_ids(tmp_path: Path) -> None:
    first, store = a_spool(tmp_path), Store()
    for number in range(250):
        first.append(a_row(number))
    segment = first.take()
    assert segment is not None
    sent, *_ = pack(segment.rows)
    await store.publish(sent, cause_id=sent.rows[0].request_id, key=sent.rows[-1].request_id)
    await sent_by_a_new_process(tmp_path, store, 250)
    assert sorted(store.request_ids) == sorted(ids(range(250)))


async def test_what_an_older_version_left_is_sent(tmp_path: Path) -> None:
    for name, numbers in (("request-log.replaying", range(2)), ("request-log.jsonl", range(2, 5))):
        batch = next(iter(pack(a_row(number) for number in numbers)))
        (tmp_path / name).write_text(batch.model_dump_json() + "\n")
    store = Store()
    await sent_by_a_new_process(tmp_path, store, 5)
    assert store.request_ids == ids(range(5))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\x00",
        a_row(7).model_dump_json().encode()[:-20],
        a_row(7, run_id="no run id").model_dump_json().encode(),
        b'{"run_id":"run-1","rows":[]}',
        b'{"run_id":"run-1","rows":1}',
    ],
)
async def test_no_line_of_the_spool_stops_a_start_and_the_others_are_sent(tmp_path: Path, broken: bytes) -> None:
    folder = tmp_path / "request-log"
    folder.mkdir()
    lines = [a_row(1).model_dump_json().encode(), broken, a_row(2).model_dump_json().encode()]
    (folder / "000000000003.jsonl").write_bytes(b"\n".join(lines))
    store = Store()
    await sent_by_a_new_process(tmp_path, store, 2)
    assert store.request_ids == ids(range(1, 3))
    assert {path.name for path in folder.iterdir()} <= {"set-aside"}


async def test_files_in_the_spool_that_are_none_of_ours_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "request-log"
    (folder / "000000000002.jsonl").mkdir(parents=True)
    (folder / "000000000003.jsonl").symlink_to(tmp_path / "nothing")
    (folder / "²²²²²²²²²²²².jsonl").write_text("x")
    sink, store = RequestLogPublisher(a_spool(tmp_path)), Store()
    running = asyncio.create_task(sink.run(store))
    sink.put(a_row(1))
    await until(lambda: store.request_ids)
    assert store.request_ids == ids(range(1, 2))
    await stop(running)


async def test_what_the_bus_refuses_for_good_is_set_aside_and_the_rest_is_sent(tmp_path: Path) -> None:
    spool, store = a_spool(tmp_path), Store()
    for row in (a_row(1), a_row(2, error="x" * 2 * MEGABYTE), a_row(3)):
        spool.append(row)
    await sent_by_a_new_process(tmp_path, store, 2)
    assert store.request_ids == ["run-1-1", "run-1-3"]
    aside = (tmp_path / "request-log" / "set-aside").read_text().splitlines()
    assert [json.loads(line)["request_id"] for line in aside] == ["run-1-2"]
    await sent_by_a_new_process(tmp_path, store, 2)
    assert store.num_refused == 1


async def test_a_right_that_is_missing_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropewalk.serving.adapters.request_log._DENIED_S", 0.01)
    spool, store = a_spool(tmp_path), Store()
    store.denials = 3
    spool.append(a_row(1))
    await sent_by_a_new_process(tmp_path, store, 1)
    assert (store.request_ids, store.denials) == (ids(range(1, 2)), 0)


def test_the_spool_is_bounded_on_disk_and_counts_what_it_loses(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, max_bytes=100_000)
    for number in range(1000):
        spool.append(a_row(number))
    files = list((tmp_path / "request-log").iterdir())
    kept = sum(len(path.read_text().splitlines()) for path in files)
    assert sum(path.stat().st_size for path in files) <= 100_000
    assert kept + spool.num_lost == 1000
    assert a_spool(tmp_path, max_bytes=100_000)._num_bytes > 90_000  # the next process counts what it finds


def test_what_is_set_aside_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SET_ASIDE_BYTES", 1000)
    spool = a_spool(tmp_path)
    spool.set_aside([b"x" * 300] * 10, "no reason")
    assert (tmp_path / "request-log" / "set-aside").stat().st_size <= 1000
    assert spool.num_lost == 7


async def test_rows_that_no_disk_takes_are_sent_from_memory(tmp_path: Path) -> None:
    (tmp_path / "request-log").write_text("a file where the folder should be")
    sink, store = RequestLogPublisher(a_spool(tmp_path, rows_in_memory=100)), Store()
    running = asyncio.create_task(sink.run(store))
    for number in range(150):
        sink.put(a_row(number))
    await until(lambda: len(store.request_ids) == 100)
    assert store.request_ids == ids(range(50, 150))
    await stop(running)
