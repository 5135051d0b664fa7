"""A stage on a real bus, in real service processes that are really killed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nats.js.api import RawStreamMsg

from ropewalk.bus.bus import Bus
from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunFailed,
    StageInterrupted,
    StageStarted,
    stage_state_subject,
)
from ropewalk.recipes.builtin import resolve_recipe

SERVICE = Path(__file__).parent / "sample_service.py"
DEADLINE_S = 40.0


def start_service(nats_server, state_dir: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "ROPEWALK_STATE_DIR": str(state_dir),
        "ROPEWALK_LEASE_TTL_S": "2",
    }
    with (state_dir / "service.log").open("ab") as log:
        return subprocess.Popen([sys.executable, SERVICE], env=environment, stdout=log, stderr=log)


async def timeline(bus: Bus, run_id: str) -> list[Message]:
    return [item.message async for item in bus.read(f"evt.*.*.*.{run_id}")]


async def until(
    bus: Bus, run_id: str, kind: type[Message], condition: Callable[[Message], bool] = bool
) -> list[Message]:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        seen = await timeline(bus, run_id)
        if any(isinstance(message, kind) and condition(message) for message in seen):
            return seen
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {kind.__name__} in {[type(message).__name__ for message in seen]}")


async def accept(bus: Bus, run_id: str) -> None:
    recipe = resolve_recipe({"base": "python-stdlib-tiny"})
    await bus.publish(
        RunAccepted(run_id=run_id, recipe=recipe.as_json(), recipe_sha256=recipe.sha256()), cause_id=run_id
    )


async def first_dead_letter(bus: Bus) -> RawStreamMsg:
    context = bus.connection.jetstream()
    deadline = time.monotonic() + DEADLINE_S
    while (await context.stream_info("DLQ")).state.messages == 0 and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return await context.get_msg("DLQ", 1)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(20) == 0


async def test_a_stage_ends_with_its_messages_and_its_state(nats_server, bus, tmp_path) -> None:
    process = start_service(nats_server, tmp_path)
    await accept(bus, "quick")
    seen = await until(bus, "quick", CorpusIngested)
    state, _ = await bus.read_state(stage_state_subject("sample", "quick"))
    assert state is not None
    assert (state.status, state.attempt) == ("done", 1)
    assert [type(message).__name__ for message in seen] == [
        "RunAccepted",
        "StageStarted",
        "SegmentIngested",
        "StageCompleted",
        "CorpusIngested",
    ]
    stop(process)


async def test_a_trigger_that_is_not_wanted_starts_no_stage(nats_server, bus, tmp_path) -> None:
    process = start_service(nats_server, tmp_path)
    await accept(bus, "unwanted")
    await accept(bus, "quick-after")
    await until(bus, "quick-after", CorpusIngested)
    assert [type(message).__name__ for message in await timeline(bus, "unwanted")] == ["RunAccepted"]
    stop(process)


async def test_a_killed_service_is_resumed_and_repeats_no_fact(nats_server, bus, tmp_path) -> None:
    first = start_service(nats_server, tmp_path)
    await accept(bus, "slow-1")
    await until(bus, "slow-1", StageStarted)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start_service(nats_server, tmp_path)
    seen = [type(message).__name__ for message in await until(bus, "slow-1", CorpusIngested)]
    assert seen.count("StageInterrupted") == 1
    assert seen.count("StageStarted") == 2
    assert seen.count("SegmentIngested") == 1
    assert seen.count("CorpusIngested") == 1
    stop(second)


async def test_a_stopped_service_gives_its_stage_to_the_next_one(nats_server, bus, tmp_path) -> None:
    first = start_service(nats_server, tmp_path)
    await accept(bus, "slow-2")
    await until(bus, "slow-2", StageStarted)
    stop(first)
    second = start_service(nats_server, tmp_path)
    seen = [type(message).__name__ for message in await until(bus, "slow-2", CorpusIngested)]
    assert seen.count("StageInterrupted") == seen.count("CorpusIngested") == 1
    stop(second)


async def test_a_broker_that_is_killed_loses_nothing(nats_server, bus, tmp_path) -> None:
    process = start_service(nats_server, tmp_path)
    await accept(bus, "slow-3")
    await until(bus, "slow-3", StageStarted)
    nats_server.stop()
    nats_server.start()
    seen = [type(message).__name__ for message in await until(bus, "slow-3", CorpusIngested)]
    assert seen.count("CorpusIngested") == 1
    stop(process)


async def test_a_stage_error_fails_the_run_with_its_sentence(nats_server, bus, tmp_path) -> None:
    process = start_service(nats_server, tmp_path)
    await accept(bus, "hopeless")
    seen = await until(bus, "hopeless", RunFailed)
    assert isinstance(seen[-1], RunFailed)
    assert seen[-1].message == "the corpus is empty: add a source"
    stop(process)


async def test_an_unexpected_error_is_tried_again(nats_server, bus, tmp_path) -> None:
    process = start_service(nats_server, tmp_path)
    await accept(bus, "flaky")
    seen = await until(bus, "flaky", CorpusIngested)
    causes = [message.cause for message in seen if isinstance(message, StageInterrupted)]
    assert len(causes) == 1
    assert causes[0].startswith("OSError: the first attempt fails (sample_service.py:")
    stop(process)


async def test_a_cancelled_run_stops_its_stage(nats_server, bus, tmp_path) -> None:
    process = start_service(nats_server, tmp_path)
    await accept(bus, "slow-4")
    await until(bus, "slow-4", StageStarted)
    await bus.publish(RunCancelled(run_id="slow-4", mode="now"))
    deadline = time.monotonic() + DEADLINE_S
    status = ""
    while status != "cancelled" and time.monotonic() < deadline:
        state, _ = await bus.read_state(stage_state_subject("sample", "slow-4"))
        status = state.status if state else ""
        await asyncio.sleep(0.1)
    assert status == "cancelled"
    assert CorpusIngested not in {type(message) for message in await timeline(bus, "slow-4")}
    stop(process)


async def test_a_malformed_event_becomes_a_dead_letter_with_its_reason(nats_server, bus, tmp_path) -> None:
    process = start_service(nats_server, tmp_path)
    await bus.connection.request("evt.run.accepted.v1.broken", b'{"run_id": 7, "recipe": 3}', timeout=5)
    dead = await first_dead_letter(bus)
    assert dead.data == b'{"run_id": 7, "recipe": 3}'
    assert "field 'run_id' has the value 7" in dead.headers["ropewalk-error"]
    await accept(bus, "quick-2")
    await until(bus, "quick-2", CorpusIngested)
    stop(process)


async def test_a_request_whose_recipe_is_broken_becomes_a_dead_letter_and_blocks_nobody(
    nats_server, bus, tmp_path
) -> None:
    process = start_service(nats_server, tmp_path)
    await bus.publish(RunAccepted(run_id="no-recipe", recipe={"size": "huge"}, recipe_sha256=""))
    assert "field 'size' has the value 'huge'" in (await first_dead_letter(bus)).headers["ropewalk-error"]
    await accept(bus, "quick-3")
    await until(bus, "quick-3", CorpusIngested)
    state, _ = await bus.read_state(stage_state_subject("sample", "no-recipe"))
    assert state is None
    stop(process)
