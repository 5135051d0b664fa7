"""Deploying, promoting and giving up, over the memory backend and a log in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from parts.memory_inference import MemoryInference, reconciled

from ropewalk.bus.codec import Stored
from ropewalk.delivery.outcome import Done, Reject, Retry
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ApprovalAwaited, ModelPromoted, ModelRolledBack
from ropewalk.events.envelope import Envelope
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.run import RunCompleted, RunFailed
from ropewalk.events.serving import (
    ModelDeployed,
    ModelDeploying,
    ModelRetired,
    RetireModel,
    RouteTarget,
    ServingFailed,
    TrafficShifted,
)
from ropewalk.recipes.judgement import PromotionRecipe
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.domain.routes import Told
from ropewalk.serving.errors import BackendGoneError
from ropewalk.serving.handlers import Handlers
from ropewalk.serving.ports import ModelToLoad
from ropewalk.serving.settings import Settings
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import StageError

_ESTIMATE = Estimate(metric="m", value=0, lower=0, upper=0, level=0.95, num_items=1, method="none")
_RECIPE = Recipe(sources=(SourceRecipe(path="/", licence="CC0-1.0"),), promotion=PromotionRecipe(model="demo"))


class Log(list[Message]):
    """The bus, reduced to its log."""

    async def end(self) -> int:
        return len(self)

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Stored[Message]]:
        for sequence, message in enumerate(self[after:], start=after + 1):
            envelope = Envelope(id=str(sequence), type="", source="", time="", run_id=message.run_id)
            yield Stored(sequence=sequence, time=datetime.now(UTC), envelope=envelope, message=message)

    async def last(self, kind: type[Message], run_id: str) -> Message | None:
        return next((one for one in reversed(self) if isinstance(one, kind) and one.run_id == run_id), None)

    async def publish(self, message: Message, **_: Any) -> None:
        self.append(message)


class Bench:
    """The handlers and everything around them."""

    def __init__(self, objects: Any, folder: Path) -> None:
        self.log = Log()
        self.inference = MemoryInference()
        self.fleet = Fleet({"triton": self.inference}, objects)
        self.handlers = Handlers(Settings(state_dir=folder), self.fleet, Admission(8))
        self._folder = folder

    async def deploy(self, run_id: str, number: int, decision: str = "promote") -> tuple[Message, ...]:
        context = StageContext(
            stage="deploy",
            run_id=run_id,
            epoch=1,
            attempt=1,
            cause_id="cause",
            recipe=_RECIPE,
            bus=self.log,  # type: ignore[arg-type]
            objects=None,  # type: ignore[arg-type]
            scratch=self._folder,
        )
        event = GateDecided(
            run_id=run_id,
            checkpoint_id=f"{run_id}-1-9",
            export_uri=f"exports/{number}",
            evaluation_uri="",
            decision=decision,  # type: ignore[arg-type]
            reasons=(),
            baseline="",
            comparison=_ESTIMATE,
        )
        messages = await self.handlers.deploy(context, event)
        self.log.extend(messages)
        return messages

    async def promote(self, run_id: str, number: int) -> Any:
        event = ModelPromoted(
            run_id=run_id,
            model="demo",
            model_version=number,
            alias="production",
            checkpoint_id=f"{run_id}-1-9",
            export_uri="",
            manifest_sha256="",
            evaluation_uri="",
        )
        return await self.handlers.promote(event, self.log)  # type: ignore[arg-type]


@pytest.fixture
async def served(objects: Any, tmp_path: Path) -> Bench:
    bench = Bench(objects, tmp_path)
    await bench.handlers.restore(bench.log)  # type: ignore[arg-type]
    return bench


def kinds(outcome: Any) -> list[type[Message]]:
    assert isinstance(outcome, Done)
    return [type(message) for message in outcome.messages]


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


async def two_promotions(served: Bench) -> None:
    for run_id, number in (("first", 1), ("second", 2)):
        await served.deploy(run_id, number)
        served.log.extend((await served.promote(run_id, number)).messages)


def a_rollback(to: int, since: int, run_id: str = "first") -> ModelRolledBack:
    return ModelRolledBack(
        run_id=run_id,
        model="demo",
        model_version=to,
        from_version=since,
        alias="production",
        checkpoint_id=f"{run_id}-1-9",
        export_uri="",
        manifest_sha256="",
        evaluation_uri="",
    )


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


def a_wish_to_retire(number: int) -> RetireModel:
    return RetireModel(run_id="first", model="demo", model_version=number)


async def test_a_model_that_is_retired_leaves_the_endpoint_even_from_production(served: Bench) -> None:
    await served.deploy("first", 1)
    served.log.extend((await served.promote("first", 1)).messages)

    outcome = await served.handlers.retire(a_wish_to_retire(1), served.log)  # type: ignore[arg-type]

    assert kinds(outcome) == [ModelRetired]
    assert await served.inference.loaded() == set()
    assert served.fleet.routes.names() == {}
    await reconciled(served.fleet)
    assert await served.inference.loaded() == set()  # it does not come back by itself


async def test_a_model_is_retired_once_however_often_that_is_asked(served: Bench) -> None:
    await served.deploy("first", 1)
    served.log.extend((await served.handlers.retire(a_wish_to_retire(1), served.log)).messages)  # type: ignore
    assert await served.handlers.retire(a_wish_to_retire(1), served.log) == Done()  # type: ignore[arg-type]


async def test_a_run_whose_version_is_retired_before_its_promotion_is_over(served: Bench) -> None:
    await served.deploy("first", 1)
    waits = {"model": "demo", "model_version": 1, "alias": "production", "author": "a", "checkpoint_id": "first-1-9"}
    shas = {"export_uri": "", "manifest_sha256": "", "evaluation_uri": "", "evaluation_sha256": ""}
    served.log.append(ApprovalAwaited.model_validate({"run_id": "first"} | waits | shas))
    outcome = await served.handlers.retire(a_wish_to_retire(1), served.log)  # type: ignore[arg-type]
    assert kinds(outcome) == [ModelRetired, RunFailed]
    assert outcome.messages[1].message == "demo@1 was retired while it waited for approval"  # type: ignore[union-attr]
    served.log.append(outcome.messages[0])  # type: ignore[union-attr]
    assert kinds(await served.promote("first", 1)) == [RunFailed]  # it was approved at the same moment


async def test_a_superseded_version_that_is_retired_by_hand_cannot_come_back(served: Bench) -> None:
    await two_promotions(served)
    outcome = await served.handlers.retire(a_wish_to_retire(1), served.log)  # type: ignore[arg-type]
    assert kinds(outcome) == [ModelRetired]
    assert not outcome.messages[0].superseded  # type: ignore[union-attr]
    served.log.extend(outcome.messages)  # type: ignore[union-attr]
    assert await served.handlers.retire(a_wish_to_retire(1), served.log) == Done()  # type: ignore[arg-type]
    back = await served.handlers.roll_back(a_rollback(1, since=2), served.log)  # type: ignore[arg-type]
    assert isinstance(back, Reject)


async def test_a_version_that_never_answered_cannot_be_retired(served: Bench) -> None:
    outcome = await served.handlers.retire(a_wish_to_retire(7), served.log)  # type: ignore[arg-type]
    assert isinstance(outcome, Reject)
    assert "demo@7" in outcome.reason


async def test_the_next_version_after_a_retired_one_gets_a_new_number_and_production(served: Bench) -> None:
    await served.deploy("first", 1)
    served.log.extend((await served.promote("first", 1)).messages)
    served.log.extend((await served.handlers.retire(a_wish_to_retire(1), served.log)).messages)  # type: ignore
    await served.deploy("second", 2)
    assert kinds(await served.promote("second", 2)) == [TrafficShifted, RunCompleted]
    assert list(served.fleet.routes.names()) == ["demo", "demo@2"]


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
