"""Several kinds of backends behind one gateway: who asks decides which version answers, and each kind fails alone."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from parts.memory_inference import MemoryInference, reconciled

from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.domain.routes import Routes

USERS = [f"user-{number}" for number in range(40)]


@pytest.fixture
async def other(bench: Any, make_version: Any) -> MemoryInference:
    """A second kind with version 2 of the model on it; production is both versions in equal shares."""
    inference = MemoryInference()
    bench.backends["other"] = inference
    second = replace(make_version(2), backend="other")
    await bench.fleet.load(second)
    versions = {("demo", 1): make_version(1), ("demo", 2): second}
    bench.fleet.routes = Routes(versions, {("demo", "production"): {1: 1, 2: 1}})
    return inference


async def ask(bench: Any, user: str, model: str = "demo") -> tuple[int, str]:
    body = {"model": model, "prompt": "abc", "max_tokens": 2, "user": user}
    response = await bench.client.post("/v1/completions", json=body)
    return response.status_code, response.headers.get("x-ropewalk-model-version", "")


async def test_a_user_always_gets_the_same_version_and_the_request_log_says_on_which_kind(
    bench: Any, other: MemoryInference
) -> None:
    got = [await ask(bench, user) for user in USERS]
    assert got == [await ask(bench, user) for user in USERS]
    assert {version for _, version in got} == {"demo@1", "demo@2"}
    assert other.num_pieces == 2 * 2 * got.count((200, "demo@2"))
    assert {(row.model_version, row.backend) for row in bench.rows} == {(1, "memory"), (2, "other")}


async def test_a_kind_that_is_away_takes_only_its_own_versions_along(bench: Any, other: MemoryInference) -> None:
    other.is_away = True
    watching = asyncio.create_task(bench.fleet.watch())
    async with asyncio.timeout(5):
        while bench.fleet.answering() != (["demo@1"], ["demo", "demo@2"]):
            await asyncio.sleep(0.01)
    watching.cancel()
    assert (await ask(bench, "anybody", "demo@1"))[0] == 200
    assert (await ask(bench, "anybody", "demo@2"))[0] == 503


async def test_a_version_on_a_kind_that_nobody_knows_is_named_and_can_be_unloaded(
    objects: Any, make_version: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    fleet = Fleet({"memory": MemoryInference()}, objects)
    unknown = replace(make_version(1), backend="of\ntomorrow")
    fleet.routes = Routes({("demo", 1): unknown, ("demo", 2): make_version(2)})
    await reconciled(fleet)
    assert fleet.answering() == (["demo@2"], ["demo@1"])
    assert "a backend of the kind 'of\\ntomorrow', and this program knows memory: retire the version" in caplog.text
    await fleet.unload(unknown)
