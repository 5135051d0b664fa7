"""The serving process on a real bus and a real Triton: from the gate's decision to a moved alias, and over a kill."""

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import httpx
import openai
import psutil
import pytest
import torch
from parts.small_engines import OVERRUN
from parts.small_engines import complete as complete_in
from parts.triton_process import TritonServer
from pydantic import BaseModel, Field

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
from ropewalk.model.engine import Engine
from ropewalk.model.lora import add_adapters, is_adapter, lora_config, merged, save_adapter
from ropewalk.model.weights import load_model, save_weights
from ropewalk.recipes.dial import complete
from ropewalk.recipes.judgement import PromotionRecipe
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.serving.settings import Settings
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.objects import ObjectStore

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


def store_of(settings: Settings) -> ObjectStore:
    return StoreAddress(url=settings.objects_url, cache=settings.state_dir / "cache").connect()


async def pass_the_gate(bus: Bus, settings: Settings, export: Path, run_id: str, model: str = "demo") -> None:
    """Everything up to the gate's decision for a run, with the tiny model as its export."""
    objects = store_of(settings)
    if export.is_dir():
        folder = settings.state_dir / f"export-{run_id}"
        shutil.copytree(export, folder)
        objects.publish(folder, f"exports/{run_id}", {})
    promotion = PromotionRecipe(model=model)
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


def an_adapted(base: Path, place: Path, content: str, seed: int) -> Path:
    """An export as a run with `adapter: lora` makes it: merged weights, and the adapter for an imported base."""
    config = lora_config(4, 8)
    config.base_model_name_or_path = f"tiny@{content}"
    model = add_adapters(load_model(base), config, seed)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            parameter.data.normal_(0.0, 0.5)
    weights = model.state_dict()
    shutil.copytree(base, place, ignore=shutil.ignore_patterns("*.safetensors"))
    save_adapter(weights, config, place)
    save_weights(merged(weights, config), model.config, place)
    return place


async def said_by(client: openai.AsyncOpenAI, model: str) -> str:
    turns: Any = [{"role": "user", "content": "def add"}]
    answer = await client.chat.completions.create(model=model, messages=turns, max_tokens=12, temperature=0)
    return answer.choices[0].message.content or ""


def merged_answer(export: Path, prompt: str) -> str:
    engine = Engine(export)
    answer = complete_in(engine, prompt, max_tokens=12)
    engine.start()
    text = answer.wait().text
    engine.stop()
    return text


class Colour(BaseModel):
    name: Literal["red", "green"]
    shades: Annotated[list[bool], Field(max_length=2)]


async def test_adapters_of_one_base_answer_by_their_names_and_share_its_memory(
    serving: Process, triton: TritonServer, bus: Bus, client: openai.AsyncOpenAI, settings: Settings, export: Path
) -> None:
    content = "b" * 64
    shutil.copytree(export, settings.state_dir / "base")
    base = store_of(settings)
    base.publish(settings.state_dir / "base", f"bases/{content}", {})
    names, alone = ("painter", "poet"), []
    for seed, name in enumerate(names):
        adapted = an_adapted(export, settings.state_dir / f"new-{name}", content, seed)
        alone.append(merged_answer(adapted, "user: def add\nassistant:"))
        await pass_the_gate(bus, settings, adapted, name, name)
        await promote(bus, await until(lambda name=name: bus.last(ModelDeployed, name)))
    assert alone[0] != alone[1]
    assert [await said_by(client, name) for name in names] == alone
    weights = str((base.fetch(f"bases/{content}") / "model.safetensors").resolve())
    stubs = [stub for stub in psutil.Process(triton.pid).children(recursive=True) if stub.is_running()]
    mapping = [stub for stub in stubs if any(each.path == weights for each in stub.memory_maps())]
    assert len(mapping) == 2  # merged weights would be in a file of each
    for name in ("painter", "poet@1"):
        answer = await client.chat.completions.parse(
            model=name, messages=[{"role": "user", "content": "sky"}], response_format=Colour, max_tokens=90
        )
        assert answer.choices[0].message.parsed is not None
    assert {"painter", "poet", "painter@1", "poet@1"} <= {model.id async for model in client.models.list()}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "open", "schema": OVERRUN}}
    with pytest.raises(openai.BadRequestError, match="it wants more work for one token than is done here") as refused:
        await client.chat.completions.create(
            model="poet", messages=[{"role": "user", "content": "sky"}], response_format=wanted, max_tokens=60
        )
    assert refused.value.status_code == 400


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
