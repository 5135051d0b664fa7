"""From a submitted recipe to a dataset version, through the real services on a real bus."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import pytest_asyncio

from ropewalk.bus.bus import Bus
from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested, DatasetPublished, RecordQuarantined, SegmentCleaned, TokenizerTrained
from ropewalk.events.run import RunRejected, StageCompleted, StageInterrupted, StageStarted, SubmitRun
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import verify

M = TypeVar("M", bound=Message)
SYLLABLES = ["ka", "lo", "mi", "ret", "sun", "dor", "vel", "ny"]


@pytest_asyncio.fixture
async def bus(nats_server) -> AsyncIterator[Bus]:  # type: ignore[no-untyped-def]
    connected = await Bus.connect(nats_server.settings, "test")
    yield connected
    await connected.close()


@contextmanager
def a_service(module: str, tmp_path: Path, settings) -> Iterator[subprocess.Popen[bytes]]:  # type: ignore[no-untyped-def]
    environment = {
        **os.environ,
        "ROPEWALK_NATS_URL": settings.url,
        "ROPEWALK_NATS_USER": settings.user,
        "ROPEWALK_NATS_PASSWORD": settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path / "state"),
        "ROPEWALK_LEASE_TTL_S": "2",
    }
    with (tmp_path / f"{module}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"ropewalk.{module}"], env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def a_corpus(folder: Path) -> Path:
    folder.mkdir()
    for number in range(24):
        words = [SYLLABLES[(number * 7 + at * at) % 8] + SYLLABLES[(number + at * 3) % 8] for at in range(200)]
        (folder / f"{number:02}.txt").write_text(f"file {number} " + " ".join(words))
    (folder / "blob.bin").write_bytes(b"\0\1")
    return folder


def a_submission(run_id: str, path: Path) -> SubmitRun:
    recipe = {"sources": [{"path": str(path), "licence": "CC0-1.0"}], "size": "tiny"}
    return SubmitRun.model_validate({"run_id": run_id, "recipe": recipe})


async def wait_for(find: Callable[[], Awaitable[M | None]], tmp_path: Path, seconds: float = 150.0) -> M:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := await find()) is not None:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("\n".join(path.read_text() for path in tmp_path.glob("*.log")))


async def timeline(bus: Bus, run_id: str) -> list[Message]:
    return [stored.message async for stored in bus.read(f"evt.*.*.*.{run_id}")]


async def test_what_cannot_run_is_said_in_a_sentence(nats_server, bus: Bus, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").mkdir()
    with a_service("ingest", tmp_path, nats_server.settings):
        await bus.publish(a_submission("lost", tmp_path / "nowhere"))
        rejected = await wait_for(lambda: bus.last(RunRejected, "lost"), tmp_path)
        assert "'sources.0.path'" in rejected.violations[0]
        await bus.publish(a_submission("void", tmp_path / "empty"))
        rejected = await wait_for(lambda: bus.last(RunRejected, "void"), tmp_path)
        assert "no document is left of 0 files" in rejected.violations[0]


async def test_a_path_that_no_system_can_hold_is_answered_and_not_silence(
    nats_server, bus: Bus, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    with a_service("ingest", tmp_path, nats_server.settings):
        for run_id, name in {"long": "x" * 300, "deep": "y" * 200 + "/é" * 1400, "nul": "a\0b"}.items():
            await bus.publish(a_submission(run_id, tmp_path / name))
            rejected = await wait_for(lambda run_id=run_id: bus.last(RunRejected, run_id), tmp_path)
            assert "'sources.0.path'" in rejected.violations[0]


async def test_files_of_any_name_and_content_cost_no_run_and_travel_over_the_bus(
    nats_server,  # type: ignore[no-untyped-def]
    bus: Bus,
    tmp_path: Path,
) -> None:
    corpus = a_corpus(tmp_path / "corpus")
    (corpus / os.fsdecode(b"\x01\xff")).mkdir()
    (corpus / os.fsdecode(b"\x01\xff") / os.fsdecode(b"caf\xe9.txt")).write_text("a text under an odd name")
    (corpus / os.fsdecode(b"00\n\xfe.txt")).write_bytes(b"\xff")
    (corpus / "secret.txt").symlink_to(tmp_path / "ingest.log")
    (corpus / "table.csv").write_text("id,text\n")
    os.mkfifo(corpus / "pipe.txt")
    with a_service("ingest", tmp_path, nats_server.settings):
        await bus.publish(a_submission("odd", corpus))
        ingested = await wait_for(lambda: bus.last(CorpusIngested, "odd"), tmp_path)
    assert ingested.num_documents == 25
    aside = [message for message in await timeline(bus, "odd") if isinstance(message, RecordQuarantined)]
    assert {message.reason: message.num_records for message in aside} == {
        "binary": 1, "link_outside": 1, "no_file": 1, "not_utf8": 1, "unsupported_csv": 1,
    }  # fmt: skip
    assert all(example.isprintable() for message in aside for example in message.examples)


async def test_a_killed_preprocessing_service_costs_time_but_nothing_else(
    nats_server,  # type: ignore[no-untyped-def]
    bus: Bus,
    tmp_path: Path,
) -> None:
    settings = nats_server.settings
    with a_service("ingest", tmp_path, settings):
        with a_service("preprocessing", tmp_path, settings) as first:
            await bus.publish(a_submission("r1", a_corpus(tmp_path / "corpus")))
            corpus = await wait_for(lambda: bus.last(CorpusIngested, "r1"), tmp_path)
            assert (corpus.num_documents, corpus.num_quarantined) == (24, 1)
            await wait_for(lambda: bus.last(TokenizerTrained, "r1"), tmp_path)
            children = psutil.Process(first.pid).children(recursive=True)
            workers = [child for child in children if "Agent" not in child.name()]  # Ray's agents go after a minute
            assert any("raylet" in child.name() for child in workers)
            first.kill()
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert alive == []
        with a_service("preprocessing", tmp_path, settings):
            dataset = await wait_for(lambda: bus.last(DatasetPublished, "r1"), tmp_path)

    events = await timeline(bus, "r1")
    assert [type(event) for event in events].count(DatasetPublished) == 1
    assert [type(event) for event in events].count(TokenizerTrained) == 1
    assert [type(event) for event in events].count(SegmentCleaned) == 1
    assert [type(event) for event in events].count(RecordQuarantined) == 1
    assert any(isinstance(event, StageInterrupted) for event in events)
    assert [event.attempt for event in events if isinstance(event, StageStarted) and event.stage == "preprocess"] == [
        1,
        2,
    ]
    done = {event.stage: event.cpu_seconds for event in events if isinstance(event, StageCompleted)}
    assert done.keys() == {"ingest", "preprocess"}
    assert done["preprocess"] > 0.5
    verify(LocalObjects(tmp_path / "state" / "objects").fetch(dataset.uri))
