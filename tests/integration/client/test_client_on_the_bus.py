"""The SDK against a real broker."""

import asyncio

import pytest

from ropewalk.bus.settings import NatsSettings
from ropewalk.client import Client, ClientSettings
from ropewalk.client.errors import ClientError, NotMeasurableError, UnknownRunError, UnreachableError
from ropewalk.client.ledgers import verify_ledger_of
from ropewalk.events.run import CancelRun, RunAccepted, RunCompleted, RunRejected, StageStarted, SubmitRun
from ropewalk.recipes.builtin import python_stdlib, resolve_recipe
from ropewalk.storage.local import LocalObjects


@pytest.fixture
async def client(nats_server):
    async with await Client.connect(ClientSettings(nats=nats_server.settings)) as connected:
        yield connected


async def test_submitted_recipe_is_a_request_on_the_bus(client):
    run_id = await client.submit({"base": "python-stdlib"})

    request = await client.bus.last(SubmitRun, run_id)
    assert request is not None
    assert request.recipe == {"base": "python-stdlib"}
    assert run_id.startswith("python-stdlib-")


async def test_recipe_value_can_be_submitted_under_an_own_id(client):
    assert await client.submit(python_stdlib(), "mine") == "mine"

    request = await client.bus.last(SubmitRun, "mine")
    assert request is not None
    assert request.recipe["profile"] == "code"


async def test_the_id_of_a_rejected_run_is_taken_and_the_same_request_again_is_not(client):
    await client.bus.publish(RunRejected(run_id="r", violations=("field 'x' is wrong",)))
    with pytest.raises(ClientError, match=r"run r was rejected .*field 'x' is wrong.* new run id"):
        await client.submit({"base": "python-stdlib"}, "r")
    assert await client.bus.last(SubmitRun, "r") is None
    for _ in range(2):
        assert await client.submit({"base": "python-stdlib"}, "other") == "other"


async def test_the_id_of_an_accepted_run_is_taken_for_every_other_recipe_and_for_the_same_nothing_is_sent(client):
    recipe = python_stdlib()
    sha256 = resolve_recipe(recipe.as_json()).sha256()
    await client.bus.publish(RunAccepted(run_id="r", recipe=recipe.as_json(), recipe_sha256=sha256))
    for other in ({"base": "python-stdlib", "minutes": 1.0}, {"base": "python-stdlib-tiny"}, {"nonsense": 1}):
        with pytest.raises(ClientError, match="run r was accepted with another recipe: submit this one under a new"):
            await client.submit(other, "r")
    await client.bus.publish(RunCompleted(run_id="r", outcome="promoted"))
    assert await client.submit({"base": "python-stdlib"}, "r") == "r"
    assert await client.bus.last(SubmitRun, "r") is None


async def test_a_recipe_that_means_other_paths_where_it_was_accepted_is_still_the_same(client):
    await client.submit({"base": "python-stdlib"}, "r")
    await client.bus.publish(RunAccepted(run_id="r", recipe={"name": "x"}, recipe_sha256="of another machine"))
    assert await client.submit({"base": "python-stdlib"}, "r") == "r"
    with pytest.raises(ClientError, match="another recipe"):
        await client.submit({"base": "python-stdlib-tiny"}, "r")


async def test_a_run_that_ended_cannot_be_cancelled_and_that_is_said(client):
    await client.bus.publish(RunAccepted(run_id="r", recipe={"name": "x"}, recipe_sha256="h"))
    await client.cancel("r")
    await client.bus.publish(RunCompleted(run_id="r", outcome="promoted"))
    with pytest.raises(ClientError, match=r"run r ended at \d{4}-.* UTC \(completed\): nothing is left to stop"):
        await client.cancel("r", "now")
    assert len([item async for item in client.bus.read(f"{CancelRun.subject_prefix()}.r")]) == 1


async def test_a_run_that_does_not_train_is_not_paused_nor_resumed_and_that_is_said(client):
    await client.bus.publish(RunAccepted(run_id="r", recipe={"name": "x"}, recipe_sha256="h"))
    with pytest.raises(ClientError, match="run r does not train yet: only training can be paused"):
        await client.pause("r")
    with pytest.raises(ClientError, match="run r is not paused: nothing is to be resumed"):
        await client.resume("r")
    with pytest.raises(UnknownRunError):
        await client.pause("ghost")


async def test_following_gives_what_was_before_and_what_comes_and_ends_with_the_run(client):
    await client.bus.publish(RunAccepted(run_id="r", recipe={"name": "x"}, recipe_sha256="h"))
    seen = []

    async def watch():
        async for stored in client.follow("r"):
            seen.append(type(stored.message).__name__)

    watching = asyncio.create_task(watch())
    await client.bus.publish(StageStarted(run_id="r", stage="ingest", epoch=1))
    await client.bus.publish(StageStarted(run_id="other", stage="ingest", epoch=1))
    await client.bus.publish(RunCompleted(run_id="r", outcome="promoted"))
    await asyncio.wait_for(watching, 10)

    assert seen == ["RunAccepted", "StageStarted", "RunCompleted"]


async def test_runs_are_listed_with_their_state(client):
    await client.submit({"base": "python-stdlib"}, "one")
    await client.submit({"base": "python-stdlib"}, "two")
    await client.bus.publish(RunCompleted(run_id="one", outcome="promoted", model="pycode", model_version=1))

    found = await client.runs()

    assert [(run.run_id, run.status) for run in found] == [("one", "promoted"), ("two", "submitted")]


async def test_timeline_has_requests_and_facts_of_one_run_in_order(client):
    await client.submit({"base": "python-stdlib"}, "r")
    await client.bus.publish(RunAccepted(run_id="r", recipe={}, recipe_sha256="h"))

    assert [type(stored.message) for stored in await client.timeline("r")] == [SubmitRun, RunAccepted]


async def test_cancelling_is_a_request_with_mode_and_reason(client):
    await client.submit({"base": "python-stdlib"}, "r")

    await client.cancel("r", "now", "wrong data")

    assert await client.bus.last(CancelRun, "r") == CancelRun(run_id="r", mode="now", reason="wrong data")


async def test_run_that_does_not_exist_is_neither_shown_nor_cancelled(client):
    with pytest.raises(UnknownRunError, match="no run 'ghost'"):
        await client.timeline("ghost")
    with pytest.raises(UnknownRunError):
        await client.cancel("ghost")


async def test_ledger_of_a_run_without_a_dataset_is_not_measurable(client, tmp_path):
    await client.submit({"base": "python-stdlib"}, "r")

    with pytest.raises(NotMeasurableError, match="has not published its dataset version"):
        await verify_ledger_of(client, "r", LocalObjects(tmp_path))


async def test_missing_bus_is_said_with_its_address(monkeypatch):
    monkeypatch.setattr("ropewalk.client.client._CONNECT_TIMEOUT_S", 0.3)

    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        await Client.connect(ClientSettings(nats=NatsSettings(url="nats://127.0.0.1:9")))
