"""A decision that waits: for more evidence, or until its time is over."""

import time
from pathlib import Path

import pytest

from ropewalk.bus.schedules import DueTimer
from ropewalk.delivery.outcome import Done, Reject, Retry
from ropewalk.evaluator.handlers import decide_at_deadline, evaluate_or_defer, judge_again
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointExported
from ropewalk.events.evaluation import LABELLED, Estimate, EvaluationReopened, GateDecided, JudgeAgain
from ropewalk.events.run import RunEnding, StageState, stage_state_subject
from ropewalk.recipes.judgement import EvaluationRecipe
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.storage.local import LocalObjects

EXPORTED = CheckpointExported(
    run_id="r",
    checkpoint_id="c",
    checkpoint_uri="c",
    step=1,
    uri="exports/c",
    manifest_sha256="0",
    num_parameters=1,
    num_bytes=1,
)
DUE = DueTimer(name="deferral", entity="r", body=b"", id="1", traceparent="")
ENDED = RunEnding(run_id="r", kind="cancelled", event_id="1")


def a_decision(decision: str, look: int = 1, verdict: str = "") -> GateDecided:
    gain = Estimate(metric="m", value=0.1, lower=-0.1, upper=0.2, level=0.95, num_items=25, method="m")
    return GateDecided(
        run_id="r",
        checkpoint_id="c",
        export_uri="exports/c",
        evaluation_uri="v",
        decision=decision,
        reasons=("about 9 more files would settle it",),
        baseline="b",
        comparison=gain,
        look=look,
        verdict=verdict,
    )


@pytest.fixture
def stage(stage_here, tmp_path: Path):
    recipe = Recipe(
        sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), evaluation=EvaluationRecipe(defer_hours=2)
    )
    made = stage_here(LocalObjects(tmp_path), tmp_path, recipe)
    made.bus.messages.append(EXPORTED)
    return made


async def after(stage, decided: GateDecided) -> list[Message]:
    """What follows from a judgement, as the stage would commit it."""

    async def evaluate(*_: object) -> tuple[Message, ...]:
        return (decided,)

    said = list(await evaluate_or_defer(stage, EXPORTED, evaluate))
    stage.bus.messages += said
    return said


async def test_where_more_is_needed_the_run_waits_with_a_deadline_that_the_server_keeps(stage) -> None:
    [deferred] = await after(stage, a_decision("need_more"))
    assert (deferred.decision, deferred.word) == ("need_more", "deferred")
    assert deferred.decide_by_unix == pytest.approx(time.time() + 7200, abs=60)
    assert [each.subject for each in stage.bus.sent] == ["sched.deferral.r"]
    assert "`ropewalk eval again r`" in deferred.waits_for
    labelled = {"items": f"{LABELLED} of explained@1", "task_set": "explained@1"}
    of_people = deferred.model_copy(update={"comparison": deferred.comparison.model_copy(update=labelled)})
    assert "(`ropewalk eval raters invite explained NAME` makes a link for one)" in of_people.waits_for

    [later] = await after(stage, a_decision("need_more", look=2))
    assert (later.word, later.decide_by_unix) == ("deferred", deferred.decide_by_unix)


@pytest.mark.parametrize("word", ["promote", "reject"])
async def test_what_is_decided_does_not_wait(stage, word: str) -> None:
    assert await after(stage, a_decision(word)) == [a_decision(word)]
    assert stage.bus.sent == []


async def test_nothing_is_waited_for_where_another_look_would_ask_nothing_more(stage) -> None:
    [decided] = await after(stage, a_decision("need_more").model_copy(update={"num_left": 0}))
    assert (decided.word, stage.bus.sent) == ("need_more", [])
    assert decided.reasons[-1].startswith("nothing is waited for, since another look would ask nothing more")
    [waiting] = await after(stage, a_decision("need_more").model_copy(update={"num_left": 1}))
    assert waiting.word == "deferred"


async def test_without_hours_in_the_recipe_a_run_ends_as_it_always_did(stage) -> None:
    stage.recipe = stage.recipe.model_copy(update={"evaluation": EvaluationRecipe()})
    assert await after(stage, a_decision("need_more")) == [a_decision("need_more")]


async def test_each_judgement_is_another_look_and_two_requests_at_once_are_one(stage) -> None:
    await after(stage, a_decision("need_more"))
    request = JudgeAgain(run_id="r")
    second = EvaluationReopened(run_id="r", checkpoint_id="c", look=2)
    assert await judge_again(request, stage.bus) == Done((second, EXPORTED))
    stage.bus.messages.append(second)
    assert await judge_again(request, stage.bus) == Done()
    await after(stage, a_decision("need_more", look=2))
    outcome = await judge_again(request, stage.bus)
    assert isinstance(outcome, Done)
    assert outcome.messages[0] == second.model_copy(update={"look": 3})
    [sixth] = await after(stage, a_decision("need_more", look=6))
    assert sixth.word == "need_more"  # nothing can follow, so nothing is waited for
    assert isinstance(await judge_again(request, stage.bus), Reject)


@pytest.mark.parametrize("facts", [[], [a_decision("promote")], [a_decision("need_more", verdict="deferred"), ENDED]])
async def test_only_a_decision_that_waits_is_judged_again(stage, facts: list[Message]) -> None:
    stage.bus.messages += facts
    assert isinstance(await judge_again(JudgeAgain(run_id="r"), stage.bus), Reject)


async def test_at_the_deadline_what_there_is_is_a_no_and_a_timer_that_comes_twice_says_it_once(stage) -> None:
    [deferred] = await after(stage, a_decision("need_more"))
    outcome = await decide_at_deadline(DUE, stage.bus)
    assert isinstance(outcome, Done)
    [decided] = outcome.messages
    assert isinstance(decided, GateDecided)
    assert decided.word == "reject"
    assert decided.reasons[0].startswith("no more came until ")
    assert decided.reasons[1:] == deferred.reasons
    stage.bus.messages.append(decided)
    assert await decide_at_deadline(DUE, stage.bus) == Done()


async def test_a_judgement_that_is_under_way_decides_before_the_deadline_does(stage) -> None:
    await after(stage, a_decision("need_more"))
    state = StageState(
        run_id="r",
        stage="evaluate",
        status="running",
        epoch=1,
        attempt=1,
        operation_id="o",
        cause_id="c",
        cause_type=EXPORTED.type_name(),
        cause_body=EXPORTED.model_dump_json(),
    )
    assert state.subject == stage_state_subject("evaluate", "r")
    stage.bus.messages.append(state)
    assert isinstance(await decide_at_deadline(DUE, stage.bus), Retry)


async def test_a_judgement_that_comes_after_the_run_was_cancelled_decides_nothing(stage) -> None:
    await after(stage, a_decision("need_more"))
    stage.bus.messages.append(ENDED)
    assert await after(stage, a_decision("promote", look=2)) == []
    assert await decide_at_deadline(DUE, stage.bus) == Done()


def test_a_verdict_of_a_later_release_is_read_as_unknown() -> None:
    written = a_decision("need_more", verdict="deferred").model_dump_json().replace('"deferred"', '"escalated"')
    assert GateDecided.model_validate_json(written).word == "unknown"
