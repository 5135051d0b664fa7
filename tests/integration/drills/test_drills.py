"""Each drill on a real broker and a real service, both really killed, stopped or cut off."""

import json

import pytest

from ropewalk.events.data import CorpusIngested
from ropewalk.events.drill import DrillCompleted
from ropewalk.events.run import RunCompleted, StageCompleted

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def facts(bus, run_id: str) -> list:
    return [stored.message async for stored in bus.read(f"evt.*.*.*.{run_id}")]


def passed(result) -> DrillCompleted:
    assert result.card.passed, result.card
    return result.card


async def ended_once(bus, run_id: str) -> None:
    seen = await facts(bus, run_id)
    for kind in (StageCompleted, CorpusIngested):
        assert sum(isinstance(message, kind) for message in seen) == 1, seen


async def test_a_killed_service_takes_its_stage_up_again_and_the_scorecard_is_an_event_and_two_files(
    bus, begin, play
) -> None:
    await begin("lasts-60-0")
    result = await play("kill-service")

    card = passed(result)
    assert card.run_id == "lasts-60-0"
    assert card.target == "sample, in stage sample of run lasts-60-0"
    assert 0 < card.detect_s <= card.recover_s < 20
    await ended_once(bus, "lasts-60-0")
    assert card in await facts(bus, "lasts-60-0")
    assert json.loads(result.written.json.read_bytes())["recover_s"] == card.recover_s
    assert "kill-service" in result.written.html.read_text()


async def test_an_idle_service_that_is_killed_answers_again(bus, play) -> None:
    card = passed(await play("kill-service", service="sample"))
    assert card.target == "sample, idle"
    assert card.run_id == card.drill_id


@pytest.mark.slow
async def test_a_service_that_slept_beyond_its_lease_does_not_finish_what_another_took_over(bus, begin, play) -> None:
    await begin("lasts-60-1")
    card = passed(await play("pause-service"))
    assert 1.5 < card.recover_s < 60
    await ended_once(bus, "lasts-60-1")


@pytest.mark.slow
async def test_a_service_cut_off_from_the_broker_loses_its_stage_to_one_that_is_not(bus, begin, play) -> None:
    await begin("lasts-60-60-2")
    card = passed(await play("cut-network"))
    assert 1.5 < card.recover_s < 60
    await ended_once(bus, "lasts-60-60-2")


async def test_a_killed_broker_keeps_what_it_acknowledged_and_everybody_finds_it_again(bus, play) -> None:
    card = passed(await play("kill-broker"))
    assert 0 < card.recover_s < 30


async def test_poison_becomes_one_dead_letter_each_and_holds_up_nobody(bus, play) -> None:
    card = passed(await play("poison", seed=3))
    assert card.doubled == 0


async def test_every_message_of_a_run_again_changes_nothing(bus, begin, play) -> None:
    await begin("lasts-0")
    await bus.publish(RunCompleted(run_id="lasts-0", outcome="rejected"))
    card = passed(await play("duplicate-everything", run_id="lasts-0"))
    assert card.doubled == 0
