"""The serving process on a real bus and a real Triton: from the gate's decision to a moved alias, and over a kill."""

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import openai
import pytest
from parts.triton_process import TritonServer

from ropewalk.bus.bus import Bus
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointExported, ModelPromoted
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.run import RunAccepted, RunCompleted
from ropewalk.events.serving import (
    ModelDeployed,
    ModelRetired,
    RequestLogBatch,
    RetireModel,
    ServingFailed,
    TrafficShifted,
)
from ropewalk.recipes.dial import complete
from ropewalk.recipes.judgement import PromotionRecipe
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.serving.settings import Settings
from ropewalk.storage.connect import StoreAddress

M = TypeVar("M", bound=Message)
_ESTIMATE = Estimate(metric="m", value=0, lower=0, upper=0, level=0.95, num_items=1, method="none")


class Process:
    """`python -m ropewalk.serving`, which can be killed and started again."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self.log = log
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "ropewalk.serving"]
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def kill(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(20)


@pytest.fixture
def serving(settings: Settings, triton: TritonServer, nats_server: Any, environment_of: Any) -> Iterator[Process]:
    process = Process(environment_of(settings, nats_server), settings.state_dir / "serving.log")
    yield process
    process.kill(signal.SIGKILL)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[openai.AsyncOpenAI]:
    key = settings.gateway.demo_key
    async with openai.AsyncOpenAI(base_url=settings.openai_url, api_key=key, max_retries=0) as client:
        yield client


async def until(ask: Callable[[], Awaitable[M | None]], seconds: float = 40.0) -> M:
    async with asyncio.timeout(seconds):
        while (answer := await ask()) is None:
            await asyncio.sleep(0.1)
    return answer


async def pass_the_gate(bus: Bus, settings: Settings, export: Path, run_id: str) -> None:
    """Everything up to the gate's decision for a run, with the tiny model as its export."""
    objects = StoreAddress(url=settings.objects_url, cache=settings.state_dir / "cache").connect()
    if export.is_dir():
        folder = settings.state_dir / f"export-{run_id}"
        shutil.copytree(export, folder)
        objects.publish(folder, f"exports/{run_id}", {})
    promotion = PromotionRecipe(model="demo")
    recipe = complete(Recipe(sources=(SourceRecipe(path="/", licence="CC0-1.0"),), promotion=promotion))
    await bus.publish(RunAccepted(run_id=run_id, recipe=recipe.as_json(), recipe_sha256=recipe.sha256()))
    await bus.publish(
        CheckpointExported(
            run_id=run_id,
            checkpoint_id=f"{run_id}-1-9",
            checkpoint_uri=f"runs/{run_id}/checkpoints/1-9",
            step=9,
            uri=f"exports/{run_id}",
            manifest_sha256="",
            num_parameters=1,
            num_bytes=1,
        )
    )
    await bus.publish(
        GateDecided(
            run_id=run_id,
            checkpoint_id=f"{run_id}-1-9",
            export_uri=f"exports/{run_id}",
            evaluation_uri="evaluations/x",
            decision="promote",
            reasons=(),
            baseline="none",
            comparison=_ESTIMATE,
        )
    )


async def promote(bus: Bus, deployed: ModelDeployed) -> RunCompleted:
    await bus.publish(
        ModelPromoted(
            run_id=deployed.run_id,
            model=deployed.model,
            model_version=deployed.model_version,
            alias="production",
            checkpoint_id=deployed.checkpoint_id,
            export_uri=deployed.export_uri,
            manifest_sha256="",
            evaluation_uri=deployed.evaluation_uri,
        )
    )
    return await until(lambda: bus.last(RunCompleted, deployed.run_id))


async def ask(client: openai.AsyncOpenAI, model: str) -> Any:
    return await client.completions.create(model=model, prompt="def add", max_tokens=8, temperature=0)


async def test_a_version_is_deployed_promoted_replaced_and_survives_kills(
    serving: Process, triton: TritonServer, bus: Bus, client: openai.AsyncOpenAI, settings: Settings, export: Path
) -> None:
    await pass_the_gate(bus, settings, export, "first")
    first = await until(lambda: bus.last(ModelDeployed, "first"))
    assert (first.model, first.model_version, first.openai_url) == ("demo", 1, settings.openai_url)
    assert first.checkpoint_uri == "runs/first/checkpoints/1-9"
    assert (await ask(client, "demo@1")).usage.completion_tokens > 0
    with pytest.raises(openai.NotFoundError, match="demo@1"):
        await ask(client, "demo")

    completed = await promote(bus, first)
    assert (completed.outcome, completed.model, completed.model_version) == ("promoted", "demo", 1)
    stream = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "hi"}], max_tokens=6, stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason in {"length", "stop"}

    await pass_the_gate(bus, settings, export, "second")
    second = await until(lambda: bus.last(ModelDeployed, "second"))
    promoting = asyncio.ensure_future(promote(bus, second))
    fingerprints = []
    while not promoting.done():  # traffic over the change of version: no request may fail
        fingerprints.append((await ask(client, "demo")).system_fingerprint)
    assert (await ask(client, "demo")).system_fingerprint == "demo@2/second-1-9"
    assert set(fingerprints) <= {"demo@1/first-1-9", "demo@2/second-1-9"}
    assert (await until(lambda: bus.last(TrafficShifted, "second"))).previous_version == 1
    assert (await until(lambda: bus.last(ModelRetired, "first"))).model_version == 1

    serving.kill(signal.SIGKILL)
    serving.start()
    await _until_answered(client)
    assert (await ask(client, "demo")).system_fingerprint == "demo@2/second-1-9"

    await asyncio.to_thread(triton.stop)
    with pytest.raises(openai.InternalServerError, match="backend"):
        await ask(client, "demo")
    await asyncio.to_thread(triton.start)
    await _until_answered(client)

    await bus.publish(RetireModel(run_id="second", model="demo", model_version=2))
    assert (await until(lambda: bus.last(ModelRetired, "second"))).model_version == 2
    for name in ("demo", "demo@2"):
        with pytest.raises(openai.NotFoundError, match=name):
            await ask(client, name)

    rows = await _logged_rows(bus, len(fingerprints))
    assert {row.run_id for row in rows} <= {"first", "second", "unrouted"}
    assert all(row.prompt == "def add" for row in rows if row.route == "completions" and row.status == 200)
    serving.kill(signal.SIGTERM)
    assert serving.process.returncode == 0


async def test_an_export_that_cannot_be_loaded_fails_its_run_with_the_reason(
    serving: Process, bus: Bus, settings: Settings, tmp_path: Path
) -> None:
    await pass_the_gate(bus, settings, tmp_path / "nothing", "lost")
    failed = await until(lambda: bus.last(ServingFailed, "lost"))
    assert "could not be loaded" in failed.message
    assert "exports/lost" in failed.message


async def test_a_server_that_ends_says_so_and_still_answers_until_others_are_asked(
    triton: TritonServer, bus: Bus, settings: Settings, nats_server: Any, environment_of: Any
) -> None:
    environment = environment_of(settings, nats_server) | {"ROPEWALK_SERVING_DRAIN_S": "3"}
    process = Process(environment, settings.state_dir / "leaving.log")
    ready = (
        f"http://127.0.0.1:{settings.gateway.port}/healthz",
        f"http://127.0.0.1:{settings.triton.http}/v2/health/ready",
    )

    async def status(client: httpx.AsyncClient, url: str) -> int:
        try:
            return (await client.get(url)).status_code
        except httpx.TransportError:
            return 0

    async with httpx.AsyncClient(headers={"authorization": "Bearer rw-demo"}) as client, asyncio.timeout(60):
        try:
            for url in ready:
                while await status(client, url) != 200:
                    await asyncio.sleep(0.1)
            process.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            for url in ready:
                while (said := await status(client, url)) == 200:
                    await asyncio.sleep(0.02)
                assert said == 503
            assert time.monotonic() - began < 2
            assert await status(client, f"{settings.openai_url}/models") == 200
            assert await asyncio.to_thread(process.process.wait, 20) == 0
            assert 3 <= time.monotonic() - began < 8
        finally:
            process.kill(signal.SIGKILL)


async def _until_answered(client: openai.AsyncOpenAI) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await ask(client, "demo")
                return
            except (openai.APIConnectionError, openai.InternalServerError, openai.NotFoundError):
                await asyncio.sleep(0.1)


async def _logged_rows(bus: Bus, at_least: int) -> list[Any]:
    async with asyncio.timeout(20):
        while True:
            stored = [item.message async for item in bus.read("log.infer.batch.v1.*", stream="INFER")]
            rows = [row for batch in stored if isinstance(batch, RequestLogBatch) for row in batch.rows]
            if len(rows) >= at_least:
                return rows
            await asyncio.sleep(0.1)
