"""From a submitted recipe to a dataset version, through the real services on a real bus."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ropewalk.bus.bus import Bus
from ropewalk.bus.settings import NatsSettings
from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested, DatasetPublished, RecordQuarantined, SegmentCleaned, TokenizerTrained
from ropewalk.events.run import RunRejected, StageCompleted, StageInterrupted, StageStarted, SubmitRun
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import verify

M = TypeVar("M", bound=Message)
SYLLABLES = ["ka", "lo", "mi", "ret", "sun", "dor", "vel", "ny"]


@dataclass(frozen=True)
class Place:
    """Where the services of this module work. `ingest` is one for all its tests; none of them kills it."""

    folder: Path
    settings: NatsSettings

    @contextmanager
    def a_service(self, module: str) -> Iterator[subprocess.Popen[bytes]]:
        environment = {
            **os.environ,
            "ROPEWALK_NATS_URL": self.settings.url,
            "ROPEWALK_NATS_USER": self.settings.user,
            "ROPEWALK_NATS_PASSWORD": self.settings.password,
            "ROPEWALK_STATE_DIR": str(self.folder / "state"),
            "ROPEWALK_LEASE_TTL_S": "2",
        }
        with (self.folder / f"{module}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"ropewalk.{module}"], env=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def place(shared_nats, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:  # type: ignore[no-untyped-def]
    place = Place(tmp_path_factory.mktemp("services"), shared_nats.settings)
    with place.a_service("ingest"):
        yield place


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


async def wait_for(find: Callable[[], Awaitable[M | None]], place: Place, seconds: float = 150.0) -> M:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := await find()) is not None:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("\n".join(path.read_text() for path in place.folder.glob("*.log")))


async def timeline(bus: Bus, run_id: str) -> list[Message]:
    return [stored.message async for stored in bus.read(f"evt.*.*.*.{run_id}")]


async def test_a_killed_preprocessing_service_costs_time_but_nothing_else(
    place: Place, bus: Bus, tmp_path: Path
) -> None:
    with place.a_service("preprocessing") as first:
        await bus.publish(a_submission("r1", a_corpus(tmp_path / "corpus")))
        corpus = await wait_for(lambda: bus.last(CorpusIngested, "r1"), place)
        assert (corpus.num_documents, corpus.num_quarantined) == (24, 1)
        await wait_for(lambda: bus.last(TokenizerTrained, "r1"), place)
        children = psutil.Process(first.pid).children(recursive=True)
        workers = [child for child in children if "Agent" not in child.name()]  # Ray's agents go after a minute
        assert any("raylet" in child.name() for child in workers)
        first.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    with place.a_service("preprocessing"):
        dataset = await wait_for(lambda: bus.last(DatasetPublished, "r1"), place)

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
    verify(LocalObjects(place.folder / "state" / "objects").fetch(dataset.uri))


async def test_what_cannot_run_is_said_in_a_sentence(place: Place, bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    await bus.publish(a_submission("lost", tmp_path / "nowhere"))
    rejected = await wait_for(lambda: bus.last(RunRejected, "lost"), place)
    assert "'sources.0.path'" in rejected.violations[0]
    await bus.publish(a_submission("void", tmp_path / "empty"))
    rejected = await wait_for(lambda: bus.last(RunRejected, "void"), place)
    assert "no document is left of 0 files" in rejected.violations[0]


async def test_a_path_that_no_system_can_hold_is_answered_and_not_silence(
    place: Place, bus: Bus, tmp_path: Path
) -> None:
    for run_id, name in {"long": "x" * 300, "deep": "y" * 200 + "/é" * 1400, "nul": "a\0b"}.items():
        await bus.publish(a_submission(run_id, tmp_path / name))
        rejected = await wait_for(lambda run_id=run_id: bus.last(RunRejected, run_id), place)
        assert "'sources.0.path'" in rejected.violations[0]


async def test_files_of_any_name_and_content_cost_no_run_and_travel_over_the_bus(
    place: Place, bus: Bus, tmp_path: Path
) -> None:
    corpus = a_corpus(tmp_path / "corpus")
    (corpus / os.fsdecode(b"\x01\xff")).mkdir()
    (corpus / os.fsdecode(b"\x01\xff") / os.fsdecode(b"caf\xe9.txt")).write_text("a text under an odd name")
    (corpus / os.fsdecode(b"00\n\xfe.txt")).write_bytes(b"\xff")
    (corpus / "secret.txt").symlink_to(place.folder / "ingest.log")
    (corpus / "table.csv").write_text("id,text\n")
    pq.write_table(pa.table({"text": ["the first row", "another row", ""]}), corpus / "rows.parquet")
    os.mkfifo(corpus / "pipe.txt")
    await bus.publish(a_submission("odd", corpus))
    ingested = await wait_for(lambda: bus.last(CorpusIngested, "odd"), place)
    assert ingested.num_documents == 27
    aside = [message for message in await timeline(bus, "odd") if isinstance(message, RecordQuarantined)]
    assert {message.reason: message.num_records for message in aside} == {
        "binary": 1, "empty": 1, "link_outside": 1, "no_file": 1, "not_utf8": 1, "unsupported_csv": 1,
    }  # fmt: skip
    assert all(example.isprintable() for message in aside for example in message.examples)
