"""Versions that are taken off the endpoint by hand, over the memory backend and a log in memory."""

from parts.handlers_bench import Bench, a_rollback, kinds, two_promotions
from parts.memory_inference import reconciled

from ropewalk.delivery.outcome import Done, Reject
from ropewalk.events.checkpoint import ApprovalAwaited
from ropewalk.events.run import RunCompleted, RunFailed
from ropewalk.events.serving import (
    ModelRetired,
    RetireModel,
    TrafficShifted,
)


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
