"""Several runs share a pool, wait their turn, stall, miss deadlines and outlive the broker: in real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ropewalk.bus.bus import Bus
from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested
from ropewalk.events.pauses import PAUSED
from ropewalk.events.run import (
    PoolState,
    RunAccepted,
    RunCancelled,
    RunFailed,
    RunPaused,
    RunResumed,
    StageInterrupted,
    StageQueued,
    StageStalled,
    StageStarted,
    StageState,
    stage_state_subject,
)
from ropewalk.recipes.builtin import resolve_recipe

SERVICE = Path(__file__).parent / "sample_service.py"
DEADLINE_S = 60.0
LEASE_TTL_S = 2


@dataclass
class Sample:
    """Instances of the sample service on one bus."""

    bus: Bus
    environment: dict[str, str]
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, capacity: float = 2, pool: str = "test") -> subprocess.Popen[bytes]:
        environment = self.environment | {"ROPEWALK_CAPACITY_CPUS": str(capacity), "ROPEWALK_POOL": pool}
        with (self.folder / "service.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, SERVICE], env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    async def accept(self, run_id: str, **fields: object) -> None:
        recipe = resolve_recipe({"base": "python-stdlib-tiny"})
        accepted = {"run_id": run_id, "recipe": recipe.as_json(), "recipe_sha256": recipe.sha256()}
        await self.bus.publish(RunAccepted.model_validate(accepted | fields), cause_id=run_id)

    async def timeline(self, run_id: str = "*") -> list[Message]:
        return [item.message async for item in self.bus.read(f"evt.*.*.*.{run_id}")]

    async def state(self, run_id: str) -> StageState | None:
        return (await self.bus.read_state(stage_state_subject("sample", run_id)))[0]

    async def until_state(self, run_id: str, condition: Callable[[StageState], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition(await self.state(run_id)):
            assert time.monotonic() < deadline, (await self.state(run_id), await self.timeline(run_id))
            await asyncio.sleep(0.05)

    async def until(self, condition: Callable[[list[Message]], bool], run_id: str = "*") -> list[Message]:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if condition(seen := await self.timeline(run_id)):
                return seen
            await asyncio.sleep(0.1)
        log = (self.folder / "service.log").read_text()[-3000:]
        raise AssertionError(f"{[(message.run_id, type(message).__name__) for message in seen]}\n{log}")

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def of(kind: type[Message], run_id: str | None = None, times: int = 1) -> Callable[[list[Message]], bool]:
    """Whether so many messages of a kind are there."""

    def holds(seen: list[Message]) -> bool:
        found = [m for m in seen if isinstance(m, kind) and run_id in (None, m.run_id)]
        return len(found) >= times

    return holds


@pytest.fixture
async def sample(nats_server, bus, tmp_path) -> AsyncIterator[Sample]:
    settings = nats_server.settings
    made = Sample(
        bus,
        os.environ
        | {
            "ROPEWALK_NATS_URL": settings.url,
            "ROPEWALK_NATS_USER": settings.user,
            "ROPEWALK_NATS_PASSWORD": settings.password,
        }
        | {"ROPEWALK_STATE_DIR": str(tmp_path), "ROPEWALK_LEASE_TTL_S": str(LEASE_TTL_S)},
        tmp_path,
    )
    yield made
    made.stop()


async def most_at_once(bus: Bus) -> float:
    """The largest share of the pool that was ever given away."""
    pools = [item.message async for item in bus.read("state.run.pool.v1.test")]
    return max(sum(e.cpus for e in pool.entries if e.running) for pool in pools if isinstance(pool, PoolState))


async def test_as_many_runs_as_fit_share_the_pool_and_the_rest_waits_its_turn(sample) -> None:
    sample.start()
    sample.start()
    for number in range(5):
        await sample.accept(f"slow-{number}")
    seen = await sample.until(of(CorpusIngested, times=5))
    started = [m.run_id for m in seen if isinstance(m, StageStarted)]
    assert sorted(started) == [f"slow-{number}" for number in range(5)]
    assert len([m for m in seen if isinstance(m, StageQueued)]) == 3
    assert await most_at_once(sample.bus) == 2
    pools = [item.message async for item in sample.bus.read("state.run.pool.v1.test")]
    assert pools[-1].entries == ()


async def test_a_higher_priority_overtakes_those_that_wait(sample) -> None:
    sample.start(capacity=1)
    await sample.accept("slow-first")
    await sample.until(of(StageStarted, "slow-first"))
    await sample.accept("quick-low")
    await sample.until(of(StageQueued, "quick-low"))
    await sample.accept("quick-high", priority=5)
    seen = await sample.until(of(CorpusIngested, times=3))
    assert [m.run_id for m in seen if isinstance(m, StageStarted)] == ["slow-first", "quick-high", "quick-low"]


async def test_a_cancelled_run_leaves_the_line_without_ever_starting(sample) -> None:
    sample.start(capacity=1)
    await sample.accept("long-first")
    await sample.until(of(StageStarted, "long-first"))
    await sample.accept("waits")
    await sample.until(of(StageQueued, "waits"))
    await sample.bus.publish(RunCancelled(run_id="waits", mode="now"))
    deadline = time.monotonic() + 5
    while (await sample.state("waits")).status != "cancelled":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert not of(StageStarted, "waits")(await sample.timeline())
    pool = [item.message async for item in sample.bus.read("state.run.pool.v1.test")][-1]
    assert [entry.run_id for entry in pool.entries] == ["long-first"]


async def test_a_broker_that_is_away_longer_than_the_lease_costs_no_work(sample, nats_server) -> None:
    sample.start()
    await sample.accept("long-1")
    await sample.until(of(StageStarted, "long-1"))
    nats_server.stop()
    await asyncio.sleep(2.5 * LEASE_TTL_S)
    nats_server.start()
    seen = await sample.until(of(CorpusIngested, "long-1"))
    assert not any(isinstance(message, StageInterrupted) for message in seen)
    state = await sample.state("long-1")
    assert (state.status, state.attempt, state.retries) == ("done", 1, {})


async def test_a_frozen_holder_is_fenced_off_and_its_work_counts_once(sample) -> None:
    first = sample.start()
    await sample.accept("long-1")
    await sample.until(of(StageStarted, "long-1"))
    sample.start()
    first.send_signal(signal.SIGSTOP)
    seen = await sample.until(of(StageStarted, "long-1", times=2))
    first.send_signal(signal.SIGCONT)
    seen = await sample.until(of(CorpusIngested, "long-1"))
    epochs = [message.epoch for message in seen if isinstance(message, StageStarted)]
    assert epochs == sorted(set(epochs))
    state = await sample.state("long-1")
    assert (state.epoch, state.retries) == (epochs[-1], {"lost": 1})
    assert len([m for m in await sample.timeline() if isinstance(m, CorpusIngested)]) == 1


async def test_a_silent_stage_is_ended_and_tried_again(sample) -> None:
    sample.start()
    await sample.accept("silent-1")
    seen = await sample.until(of(CorpusIngested, "silent-1"))
    assert [m.silent_s for m in seen if isinstance(m, StageStalled)] == [4.0]
    assert (await sample.state("silent-1")).retries == {"stalled": 1}


async def test_a_silent_stage_of_a_hanging_holder_is_taken_by_force(sample) -> None:
    """The heartbeats go on, so the lease says nothing; the watchdog of the server does."""
    sample.start()
    await sample.accept("hangs-1")
    await sample.until(of(StageStarted, "hangs-1"))
    sample.start()
    seen = await sample.until(of(CorpusIngested, "hangs-1"))
    assert of(StageStalled)(seen)
    assert len([m for m in seen if isinstance(m, CorpusIngested)]) == 1


async def test_a_run_that_misses_its_deadline_fails_with_a_sentence(sample) -> None:
    sample.start(capacity=1)
    await sample.accept("quick")
    await sample.until(of(CorpusIngested, "quick"))  # it takes messages now
    await sample.accept("long-1", deadline_unix=time.time() + 5)
    await sample.until(of(StageStarted, "long-1"))
    await sample.accept("waits", deadline_unix=time.time() + 0.5)
    seen = await sample.until(of(RunFailed, times=2))
    words = {m.run_id: m.message for m in seen if isinstance(m, RunFailed)}
    assert words["long-1"] == "the run did not end before its deadline; sample was running"
    assert words["waits"] == "the run did not end before its deadline; sample was queued"
    pool = [item.message async for item in sample.bus.read("state.run.pool.v1.test")][-1]
    assert pool.entries == ()


async def test_what_ran_and_what_waited_on_a_machine_that_is_gone_goes_on_elsewhere(sample) -> None:
    first = sample.start(capacity=1, pool="gone")
    await sample.accept("slow-runs")
    await sample.until(of(StageStarted, "slow-runs"))
    await sample.accept("waits")
    await sample.until(of(StageQueued, "waits"))
    first.kill()
    sample.start(capacity=1, pool="here")
    seen = await sample.until(of(CorpusIngested, times=2))
    assert sorted(m.run_id for m in seen if isinstance(m, CorpusIngested)) == ["slow-runs", "waits"]
    for pool in ("gone", "here"):
        states = [item.message async for item in sample.bus.read(f"state.run.pool.v1.{pool}")]
        assert states[-1].entries == ()


async def test_a_paused_run_leaves_its_place_outlives_its_service_and_goes_on_when_it_is_resumed(sample) -> None:
    first = sample.start(capacity=1)
    await sample.accept("long-1")
    await sample.until(of(StageStarted, "long-1"))
    await sample.bus.publish(RunPaused(run_id="long-1", stage="sample", at_unix=time.time()))
    seen = await sample.until(of(StageInterrupted, "long-1"))
    assert [m.cause for m in seen if isinstance(m, StageInterrupted)] == [PAUSED]
    state = await sample.state("long-1")
    assert (state.status, state.paused, state.retries) == ("queued", True, {})
    first.kill()
    sample.start(capacity=1)
    await sample.accept("slow-2")  # longer than the time after which a lease expires and a silent stage is ended
    seen = await sample.until(of(CorpusIngested, "slow-2"))
    assert not of(StageStarted, "long-1", times=2)(seen)
    assert not of(StageStalled)(seen)
    await sample.bus.publish(RunResumed(run_id="long-1", stage="sample"))
    seen = await sample.until(of(CorpusIngested, "long-1"))
    assert [m.attempt for m in seen if isinstance(m, StageStarted) and m.run_id == "long-1"] == [1, 2]
    assert (await sample.state("long-1")).retries == {}


async def test_what_is_paused_and_resumed_while_nobody_is_there_is_heeded_at_the_start(sample) -> None:
    first = sample.start(capacity=1)
    for run_id in ("long-1", "long-2"):
        await sample.accept(run_id)
        await sample.until(of(StageStarted if run_id == "long-1" else StageQueued, run_id))
    first.kill()
    for run_id in ("long-1", "long-2"):
        await sample.bus.publish(RunPaused(run_id=run_id, stage="sample", at_unix=time.time()))
    second = sample.start(capacity=1)
    await sample.until(of(StageInterrupted, "long-1", times=2))  # its lease had expired; then it was let go
    await sample.until_state("long-2", lambda state: state.paused)
    second.kill()
    await sample.bus.publish(RunResumed(run_id="long-2", stage="sample"))
    sample.start(capacity=1)
    seen = await sample.until(of(CorpusIngested, "long-2"))
    assert not of(CorpusIngested, "long-1")(seen)
    assert (await sample.state("long-1")).paused


async def test_no_deadline_fires_in_a_pause_and_a_paused_run_can_be_cancelled(sample) -> None:
    sample.start(capacity=1)
    await sample.accept("long-first")
    await sample.until(of(StageStarted, "long-first"))
    await sample.accept("waits", deadline_unix=time.time() + 3)
    await sample.until(of(StageQueued, "waits"))
    await sample.bus.publish(RunPaused(run_id="waits", stage="sample", at_unix=time.time()))
    await sample.until_state("waits", lambda state: state.paused)
    seen = await sample.until(of(CorpusIngested, "long-first"))
    assert not of(RunFailed)(seen)
    assert not of(StageStarted, "waits")(seen)
    await sample.bus.publish(RunCancelled(run_id="waits", mode="now"))
    await sample.until_state("waits", lambda state: state.status == "cancelled")
    assert not of(StageStarted, "waits")(await sample.timeline())
