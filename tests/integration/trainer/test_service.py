"""The whole trainer service on a real bus with a real Ray, through real faults."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from ropewalk.bus.bus import Bus
from ropewalk.corpus.ledger import verify_run
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.data import DatasetPublished
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunPaused,
    RunResumed,
    StageCompleted,
    StageInterrupted,
    StageStarted,
    StageState,
    stage_state_subject,
)
from ropewalk.events.training import (
    SearchCompleted,
    StepsCommitted,
    TrainingCompleted,
    TrainingInterrupted,
    TrainingProgressed,
    TrainingResumed,
    TrainingStarted,
    TrainingValidated,
    TrialCompleted,
)
from ropewalk.recipes.recipe import Recipe

DEADLINE_S = 120.0


@pytest.fixture
async def bus(nats_server) -> AsyncIterator[Bus]:
    bus = await Bus.connect(nats_server.settings, "test")
    yield bus
    await bus.close()


@pytest.fixture
def start_service(nats_server, workshop) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the trainer as its own process; what still runs at the end is killed."""
    processes: list[subprocess.Popen[bytes]] = []
    environment = os.environ | {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "ROPEWALK_STATE_DIR": str(workshop.root),
        "ROPEWALK_LEASE_TTL_S": "8",
        "ROPEWALK_TRAINER_RAY_TMP": str(workshop.ray_folder),
    }

    def start() -> subprocess.Popen[bytes]:
        with (workshop.root / "service.log").open("ab") as log:
            command = [sys.executable, "-m", "ropewalk.trainer"]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


async def publish_dataset(bus: Bus, workshop, recipe: Recipe) -> None:
    await bus.publish(RunAccepted(run_id="r", recipe=recipe.as_json(), recipe_sha256=recipe.sha256()), cause_id="r")
    published = DatasetPublished(
        run_id="r",
        dataset_version="d" * 64,
        uri="datasets/d",
        tokenizer_uri="tokenizers/t",
        evalset_uri="evalsets/e",
        num_inputs=1,
        num_kept=1,
        num_held_out=0,
        dropped={},
        num_tokens=workshop.meta.num_tokens,
        num_windows=workshop.meta.num_windows,
        context_length=workshop.meta.context_length,
    )
    await bus.publish(published, cause_id="r")


async def timeline(bus: Bus) -> list[Message]:
    return [item.message async for item in bus.read("evt.*.*.*.r")]


async def until(bus: Bus, condition: Callable[[list[Message]], bool]) -> list[Message]:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        seen = await timeline(bus)
        if condition(seen):
            return seen
        await asyncio.sleep(0.2)
    raise AssertionError([type(message).__name__ for message in seen])


def of(kind: type[Message], seen: list[Message]) -> list[Message]:
    return [message for message in seen if isinstance(message, kind)]


def has_passed(step: int) -> Callable[[list[Message]], bool]:
    return lambda seen: any(message.step >= step for message in of(TrainingProgressed, seen))


def a_recipe(workshop, *, total_steps: int, trials: int) -> Recipe:
    plan = workshop.recipe.derived.model_copy(update={"total_steps": total_steps})
    return workshop.recipe.model_copy(update={"plan": plan, "trials": trials})


@pytest.mark.slow
async def test_training_survives_the_death_of_its_service_and_of_the_broker(
    nats_server, start_service, bus, workshop, ray_processes: Callable[[Path], list[int]]
) -> None:
    recipe = a_recipe(workshop, total_steps=1000, trials=2)
    first = start_service()
    await publish_dataset(bus, workshop, recipe)
    await until(bus, has_passed(60))
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start_service()
    await until(bus, lambda seen: bool(of(TrainingResumed, seen)))
    nats_server.stop()
    await asyncio.sleep(2)  # the outage itself
    nats_server.start()
    seen = await until(bus, lambda seen: bool(of(TrainingCompleted, seen)))
    second.terminate()
    assert second.wait(20) == 0

    assert sorted(trial.trial for trial in of(TrialCompleted, seen)) == [0, 1]
    assert len(of(SearchCompleted, seen)) == 1
    assert [item.cause for item in of(TrainingInterrupted, seen)] == ["service_lost"]
    assert [item.attempt for item in of(TrainingStarted, seen)] == [1, 2]
    [resumed] = of(TrainingResumed, seen)
    assert resumed.resume_step > 0
    [completed] = of(TrainingCompleted, seen)
    assert completed.step == 1000
    looks = of(TrainingValidated, seen)
    assert looks[-1].step == 1000
    assert looks[-1].loss < looks[0].loss
    saved = [item.checkpoint_id for item in of(CheckpointSaved, seen)]
    assert len(saved) == len(set(saved))
    assert completed.checkpoint_id == saved[-1]
    verdict = verify_run(of(StepsCommitted, seen), workshop.meta, recipe, workshop.objects)
    assert verdict.ok, verdict.sentences
    assert verdict.num_steps == 1000
    assert ray_processes(workshop.ray_folder) == []


@pytest.mark.slow
async def test_a_cancelled_run_saves_its_last_step_and_stops(
    start_service, bus, workshop, ray_processes: Callable[[Path], list[int]]
) -> None:
    service = start_service()
    await publish_dataset(bus, workshop, a_recipe(workshop, total_steps=5000, trials=0))
    seen = await until(bus, has_passed(60))
    assert of(SearchCompleted, seen)[0].params == {}
    await bus.publish(RunCancelled(run_id="r", mode="checkpoint"), cause_id="cancel")

    deadline = time.monotonic() + 60
    state: StageState | None = None
    while time.monotonic() < deadline and (state is None or state.status == "running"):
        state, _ = await bus.read_state(stage_state_subject("train", "r"))
        await asyncio.sleep(0.2)
    assert state is not None
    assert state.status == "cancelled"
    seen = await timeline(bus)
    assert of(TrainingCompleted, seen) == []
    last = of(CheckpointSaved, seen)[-1]
    assert 60 < last.step < 5000
    assert workshop.objects.exists(last.uri)
    service.terminate()
    assert service.wait(20) == 0
    assert ray_processes(workshop.ray_folder) == []


@pytest.mark.slow
async def test_a_paused_training_saves_leaves_and_goes_on_from_there_when_it_is_resumed(
    start_service, bus, workshop, ray_processes: Callable[[Path], list[int]]
) -> None:
    first = start_service()
    await publish_dataset(bus, workshop, a_recipe(workshop, total_steps=1000, trials=0))
    await until(bus, has_passed(60))
    await bus.publish(RunPaused(run_id="r", stage="train", at_unix=time.time()))
    seen = await until(bus, lambda seen: bool(of(StageInterrupted, seen)))
    [left] = of(TrainingInterrupted, seen)
    saved = of(CheckpointSaved, seen)[-1].step
    assert (left.cause, left.last_step) == ("paused", saved - 1)
    assert 60 < saved < 400
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start_service()
    await bus.publish(RunResumed(run_id="r", stage="train"))
    seen = await until(bus, lambda seen: bool(of(TrainingCompleted, seen)))
    second.terminate()
    assert second.wait(20) == 0

    [resumed] = of(TrainingResumed, seen)
    assert resumed.resume_step == saved
    assert len(of(TrainingInterrupted, seen)) == 1
    assert [item.attempt for item in of(StageStarted, seen) if item.stage == "train"] == [1, 2]
    assert len([item for item in of(StageCompleted, seen) if item.stage == "train"]) == 1
    steps = [(item.first_step, item.last_step) for item in of(StepsCommitted, seen)]
    assert [step for first, last in steps for step in range(first, last + 1)] == list(range(1000))
    [completed] = of(TrainingCompleted, seen)
    assert completed.account.replay_s == 0
    assert ray_processes(workshop.ray_folder) == []
