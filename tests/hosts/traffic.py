"""Load on a bus through our own library, and the judgement of what became of it. Programs for a host of their own.

`publish FOLDER RATE` states facts at a rate, and at the same time commits stages by compare-and-set, each commit one
atomic batch. `answer FOLDER` is a service with our shell that says one fact for each that it hears. `judge FOLDER`
reads the log without our library. What was acknowledged is written down at once, so killing a program loses nothing
of it.
"""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

from chaos.history import Entry, read_stream

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.bus.connection import connect
from ropewalk.bus.settings import NatsSettings
from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.contract import Reaction
from ropewalk.events.data import SegmentCleaned, SegmentIngested, SegmentRef
from ropewalk.events.run import StageState
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings

CHAINS = 4  # stages that are committed over and over
_RUNS = 16  # facts of one run are handled one after the other
_WINDOW = 64  # facts on their way
_SETTLE_S = 180.0


class Ledger:
    """A file of JSON lines: what was acknowledged, when it was sent and when the answer came (seconds since 1970)."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", buffering=1)

    def acknowledged(self, name: str, began: float) -> None:
        self._file.write(json.dumps({"name": name, "began": began, "ended": time.time()}) + "\n")


def read_ledger(file: Path) -> list[dict[str, Any]]:
    """Its lines; the last may have been cut off by a kill."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def a_fact(number: int) -> SegmentIngested:
    segment = SegmentRef(segment_id=f"s{number}", uri="segments/s", num_documents=1, num_bytes=1)
    return SegmentIngested(run_id=f"load-{number % _RUNS}", source_id="load", segment=segment)


async def publish(folder: Path, rate: float) -> None:
    """Until SIGTERM; then whatever is on its way is brought to its end."""
    bus = await Bus.connect(NatsSettings(), "load")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    facts, commits = Ledger(folder / "facts.jsonl"), Ledger(folder / "commits.jsonl")
    async with asyncio.TaskGroup() as tasks:
        for number in range(CHAINS):
            tasks.create_task(_chain(bus, number, commits, stop))
        tasks.create_task(_facts(bus, rate, facts, stop))
    await bus.close()


async def _facts(bus: Bus, rate: float, ledger: Ledger, stop: asyncio.Event) -> None:
    room = asyncio.Semaphore(_WINDOW)

    async def send(number: int) -> None:
        began = time.time()
        await bus.publish(a_fact(number), cause_id=f"load-{number}")
        ledger.acknowledged(f"s{number}", began)
        room.release()

    async with asyncio.TaskGroup() as tasks:
        for number in count():
            if stop.is_set():
                return
            await room.acquire()
            tasks.create_task(send(number))
            await asyncio.sleep(1 / rate)


async def _chain(bus: Bus, number: int, ledger: Ledger, stop: asyncio.Event) -> None:
    """One stage, committed over and over: attempt n says fact n, in one batch."""
    for attempt in count(1):
        if stop.is_set():
            return
        began = time.time()
        state = StageState(
            run_id=f"chain-{number}",
            stage="ingest",
            status="running",
            epoch=1,
            attempt=attempt,
            operation_id=f"chain-{number}-{attempt}",
            cause_id="c",
            cause_type="t",
            cause_body="{}",
        )
        _, revision = await bus.read_state(state.subject)
        segment = SegmentRef(segment_id=f"c{number}-{attempt}", uri="segments/s", num_documents=1, num_bytes=1)
        said = SegmentIngested(run_id=f"chain-{number}", source_id="chain", segment=segment)
        await bus.commit(state, revision, [bus.prepare(said, cause_id=state.operation_id)])
        ledger.acknowledged(f"c{number}-{attempt}", began)
        await asyncio.sleep(0.2)


def answering() -> Service:
    """A service that says of each segment that it was cleaned."""
    service = Service("load", RuntimeSettings())

    async def on_segment(event: SegmentIngested) -> Outcome:
        cleaned = SegmentCleaned(
            run_id=event.run_id,
            segment_id=event.segment.segment_id,
            num_inputs=1,
            num_kept=1,
            num_held_out=0,
            dropped={},
        )
        return Done((cleaned,))

    service.on(Reaction("answer", SegmentIngested), on_segment)
    return service


async def judge(folder: Path) -> dict[str, Any]:
    """What was lost and doubled, once every fact has its answer or has had time enough."""
    settings = NatsSettings()
    connection = await connect(settings, "judge")
    entries: list[Entry] = []
    deadline = time.monotonic() + _SETTLE_S
    while True:
        entries = await read_stream(connection, "CONTROL", entries)
        found = verdict(folder, entries)
        if not found["lost"] or time.monotonic() > deadline:
            break
        await asyncio.sleep(1.0)
    found["letters"] = len(await read_stream(connection, "DLQ"))
    await connection.close()
    return found


def verdict(folder: Path, entries: Iterable[Entry]) -> dict[str, Any]:
    """Facts, answers and commits of a log against the ledgers."""
    facts: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    attempts: dict[str, list[int]] = {}
    for entry in entries:
        match entry.message:
            case SegmentIngested(segment=segment):
                facts[segment.segment_id] += 1
            case SegmentCleaned(segment_id=segment_id):
                answers[segment_id] += 1
            case StageState(run_id=run_id, attempt=attempt):
                attempts.setdefault(run_id, []).append(attempt)
    said = [line["name"] for file in ("facts", "commits") for line in read_ledger(folder / f"{file}.jsonl")]
    disorder = {run: numbers for run, numbers in attempts.items() if numbers != list(range(1, len(numbers) + 1))}
    lost = [name for name in said if not facts[name]] + [name for name in facts if not answers[name]]
    doubled = [name for counted in (facts, answers) for name, number in counted.items() if number > 1]
    return {
        "acknowledged": len(said),
        "stored": facts.total(),
        "answered": answers.total(),
        "lost": sorted(set(lost)),
        "doubled": sorted(doubled),
        "disorder": disorder,
    }


def main(work: str, folder: Path, *rate: str) -> None:
    match work:
        case "publish":
            asyncio.run(publish(folder, float(rate[0])))
        case "answer":
            service = answering()
            asyncio.run(apply_topology(service.settings.nats, consumers=service.consumers()))
            service.run()
        case "judge":
            print(json.dumps(asyncio.run(judge(folder))))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
