"""Deploying, promoting and giving up, over the memory backend and a log in memory."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parts.handlers_bench import Bench, a_rollback, kinds, two_promotions
from parts.memory_inference import reconciled

from ropewalk.delivery.outcome import Done, Reject, Retry
from ropewalk.events.run import RunCompleted
from ropewalk.events.serving import (
    ModelDeployed,
    ModelDeploying,
    ModelRetired,
    RouteTarget,
    ServingFailed,
    TrafficShifted,
)
from ropewalk.serving.domain.routes import Told
from ropewalk.serving.errors import BackendGoneError
from ropewalk.serving.ports import ModelToLoad
from ropewalk.stages.errors import StageError


async def test_a_promoted_decision_is_deployed_beside_what_serves(served: Bench) -> None:
    (deployed,) = await served.deploy("first", 1)
    assert isinstance(deployed, ModelDeployed)
    assert (deployed.model_version, deployed.triton_model) == (1, "demo-v1")
    assert [type(message) for message in served.log] == [ModelDeploying, ModelDeployed]
    assert await served.inference.loaded() == {"demo-v1"}
    assert list(served.fleet.routes.names()) == ["demo@1"]


async def test_a_redone_deployment_keeps_the_number(served: Bench) -> None:
    await served.deploy("first", 1)
    (again,) = await served.deploy("first", 1)
    (second,) = await served.deploy("second", 2)
    assert isinstance(again, ModelDeployed)
    assert isinstance(second, ModelDeployed)
    assert (again.model_version, second.model_version) == (1, 2)


async def test_an_export_that_cannot_be_loaded_fails_the_run_in_one_sentence(served: Bench) -> None:
    with pytest.raises(StageError, match="demo@1 could not be loaded"):
        await served.deploy("first", 77)
    assert isinstance(served.log[-1], ServingFailed)


async def test_a_load_that_takes_long_is_no_absence_and_an_absence_is_waited_out(
    served: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropewalk.serving.handlers._PATIENCE_S", 0.03)
    monkeypatch.setattr("ropewalk.serving.handlers._AGAIN_S", 0.01)
    load, tries = served.inference.load, iter([True, True])

    async def slow(entry: ModelToLoad) -> None:
        await asyncio.sleep(0.1)  # longer than the patience
        if next(tries, False):
            raise BackendGoneError("restarted in the middle")
        await load(entry)

    monkeypatch.setattr(served.inference, "load", slow)
    assert [type(message) for message in await served.deploy("first", 1)] == [ModelDeployed]
    served.inference.is_away = True
    with pytest.raises(BackendGoneError):
        await served.deploy("second", 2)


async def test_promotion_moves_the_alias_and_retires_the_old_version(served: Bench) -> None:
    await served.deploy("first", 1)
    first = await served.promote("first", 1)
    assert kinds(first) == [TrafficShifted, RunCompleted]
    served.log.extend(first.messages)
    await served.deploy("second", 2)

    outcome = await served.promote("second", 2)
    assert kinds(outcome) == [TrafficShifted, ModelRetired, RunCompleted]
    assert outcome.messages[0].previous_version == 1
    assert outcome.messages[1].run_id == "first"
    assert await served.inference.loaded() == {"demo-v2"}
    assert list(served.fleet.routes.names()) == ["demo", "demo@2"]

    again = await served.promote("second", 2)  # nothing was published, so it comes again
    assert again == outcome
    told = Told()
    for message in [*served.log, *outcome.messages]:
        told.add(message)
    assert told.routes == served.fleet.routes


async def test_a_promotion_published_again_after_a_newer_one_moves_nothing(served: Bench) -> None:
    for run_id, number in (("first", 1), ("second", 2)):
        await served.deploy(run_id, number)
        outcome = await served.promote(run_id, number)
        served.log.extend(outcome.messages)

    assert await served.promote("first", 1) == Done()
    assert await served.inference.loaded() == {"demo-v2"}
    assert list(served.fleet.routes.names()) == ["demo", "demo@2"]


async def test_a_rollback_loads_the_superseded_version_and_moves_the_alias_back_once(served: Bench) -> None:
    await two_promotions(served)
    outcome = await served.handlers.roll_back(a_rollback(1, since=2), served.log)  # type: ignore[arg-type]
    assert kinds(outcome) == [ModelDeployed, TrafficShifted, ModelRetired]
    assert outcome.messages[0].again
    assert (outcome.messages[1].model_version, outcome.messages[1].previous_version) == (1, 2)
    assert await served.inference.loaded() == {"demo-v1"}
    assert list(served.fleet.routes.names()) == ["demo", "demo@1"]

    served.log.extend(outcome.messages)
    assert await served.handlers.roll_back(a_rollback(1, since=2), served.log) == Done()  # type: ignore[arg-type]
    told = Told()
    for message in served.log:
        told.add(message)
    assert told.routes == served.fleet.routes
    forward = await served.handlers.roll_back(a_rollback(2, 1, "second"), served.log)  # type: ignore[arg-type]
    assert kinds(forward) == [ModelDeployed, TrafficShifted, ModelRetired]


async def test_a_version_that_somebody_retired_is_not_gone_back_to(served: Bench) -> None:
    await two_promotions(served)
    served.log.append(ModelRetired(run_id="first", model="demo", model_version=1))
    outcome = await served.handlers.roll_back(a_rollback(1, since=2), served.log)  # type: ignore[arg-type]
    assert isinstance(outcome, Reject)
    assert "demo@1 is retired" in outcome.reason
    assert list(served.fleet.routes.names()) == ["demo", "demo@2"]


async def test_a_version_nobody_deployed_cannot_be_promoted(served: Bench) -> None:
    outcome = await served.promote("first", 5)
    assert isinstance(outcome, Reject)
    assert "demo@5" in outcome.reason


async def test_a_promotion_waits_for_a_backend_that_is_away(served: Bench) -> None:
    await served.deploy("first", 1)
    served.inference.is_away = True
    assert isinstance(await served.promote("first", 1), Retry)


async def test_a_failed_run_takes_its_candidate_along_and_leaves_production(served: Bench) -> None:
    await served.deploy("first", 1)
    served.log.extend((await served.promote("first", 1)).messages)
    await served.deploy("second", 2)
    assert kinds(await served.handlers.abandon("second", served.log)) == [ModelRetired]
    assert kinds(await served.handlers.abandon("first", served.log)) == []
    assert list(served.fleet.routes.names()) == ["demo", "demo@1"]


async def test_another_instance_answers_what_this_one_promoted_and_drops_what_it_retired(
    served: Bench, objects: Any, tmp_path: Path
) -> None:
    other = Bench(objects, tmp_path / "other")
    other.log = served.log
    await other.handlers.restore(served.log)  # type: ignore[arg-type]

    async def heeded() -> tuple[list[str], frozenset[str]]:
        told = Told()
        for message in served.log:
            told.add(message)
        await other.handlers.heed(told.routes)
        return list(other.fleet.routes.names()), await other.inference.loaded()

    await served.deploy("first", 1)
    served.log.extend((await served.promote("first", 1)).messages)
    assert await heeded() == (["demo", "demo@1"], {"demo-v1"})
    await served.deploy("second", 2)
    assert (await heeded())[0] == ["demo", "demo@1", "demo@2"]
    served.log.extend((await other.promote("second", 2)).messages)  # the other one takes the message
    assert await heeded() == (["demo", "demo@2"], {"demo-v2"})


async def test_what_is_loaded_already_is_not_loaded_again_when_another_instance_moves_the_alias(
    served: Bench,
) -> None:
    await served.deploy("first", 1)
    loads = served.inference.num_loads
    told = Told()
    for message in (*served.log, *(await served.promote("first", 1)).messages):
        told.add(message)
    await served.handlers.heed(told.routes)
    assert served.inference.num_loads == loads
    assert "demo" in served.fleet.routes.names()


async def test_a_candidate_that_another_instance_deployed_goes_with_its_run(
    served: Bench, objects: Any, tmp_path: Path
) -> None:
    other = Bench(objects, tmp_path / "other")
    await other.handlers.restore(served.log)  # type: ignore[arg-type]
    await served.deploy("first", 1)
    assert kinds(await other.handlers.abandon("first", served.log)) == [ModelRetired]


async def test_a_shift_to_unknown_versions_moves_nothing_and_is_said_once(
    served: Bench, objects: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await served.deploy("first", 1)
    outcome = await served.promote("first", 1)
    wrong = outcome.messages[0].model_copy(update={"model_version": 7, "targets": (RouteTarget(model_version=7),)})
    served.log.extend((*outcome.messages, wrong))
    fresh = Bench(objects, tmp_path)
    await fresh.handlers.restore(served.log)  # type: ignore[arg-type]
    assert list(fresh.fleet.routes.names()) == ["demo", "demo@1"]
    assert [text for text in caplog.messages if "stays where it is" in text] == [
        f"'demo:production' stays where it is: no version answers of those that message {len(served.log)} names"
    ]


async def test_a_restart_restores_routes_and_models_from_the_log(
    served: Bench, objects: Any, tmp_path: Path, make_version: Callable[..., Any]
) -> None:
    await served.deploy("first", 1)
    served.log.extend((await served.promote("first", 1)).messages)
    fresh = Bench(objects, tmp_path)
    await fresh.handlers.restore(served.log)  # type: ignore[arg-type]
    assert fresh.fleet.routes == served.fleet.routes
    await reconciled(fresh.fleet)
    assert await fresh.inference.loaded() == {"demo-v1"}
    prompt = await fresh.fleet.chats(make_version()).prompt([{"role": "user", "content": "x"}])
    assert prompt.text == "<user>x<assistant>"
