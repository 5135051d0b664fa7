"""Each drill on a real broker and a real service, both really killed, stopped or cut off."""

import asyncio
import json
import signal
import sysconfig
from pathlib import Path

import psutil
import pytest

from ropewalk.drills.acting import KILL_WORKER, new_drill, score_kill_of_worker
from ropewalk.drills.acting import begin as begin_drill
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.stackview import process
from ropewalk.events.data import CorpusIngested
from ropewalk.events.drill import DrillCompleted
from ropewalk.events.run import RunFailed, StageCompleted
from ropewalk.events.training import TrainingInterrupted, TrainingResumed
from ropewalk.local.keeping import Supervised

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def facts(bus, run_id: str) -> list:
    return [stored.message async for stored in bus.read(f"evt.*.*.*.{run_id}")]


def passed(result) -> DrillCompleted:
    assert result.card.passed, result.card.reason
    return result.card


async def ended_once(bus, run_id: str) -> None:
    seen = await facts(bus, run_id)
    for kind in (StageCompleted, CorpusIngested):
        assert sum(isinstance(message, kind) for message in seen) == 1, seen


async def test_a_killed_service_takes_its_stage_up_again_and_the_scorecard_is_an_event_and_two_files(
    small_stack, bus, begin, play
) -> None:
    await begin("lasts-60-0")
    result = await play(small_stack, "kill-service")

    card = passed(result)
    assert card.run_id == "lasts-60-0"
    assert card.target == "ingest, in stage ingest of run lasts-60-0"
    assert 0 < card.detect_s <= card.recover_s < 40
    await ended_once(bus, "lasts-60-0")
    assert card in await facts(bus, "lasts-60-0")
    assert json.loads(result.json.read_bytes())["recover_s"] == card.recover_s
    assert "kill-service" in result.html.read_text()


async def test_an_idle_service_that_is_killed_answers_again(small_stack, play) -> None:
    card = passed(await play(small_stack, "kill-service", service="ingest"))
    assert card.target == "ingest, idle"
    assert card.run_id == card.drill_id


async def test_an_interrupted_drill_wakes_what_it_put_to_sleep(small_stack) -> None:
    pid = process(Supervised(small_stack.layout), "ingest").pid
    drill = await asyncio.create_subprocess_exec(
        Path(sysconfig.get_path("scripts")) / "ropewalk",
        *("drill", "pause-service", "--service", "ingest", "--hold", "600"),
        *("--state-dir", small_stack.layout.state_dir),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0.05)
        drill.send_signal(signal.SIGINT)
        _, said = await drill.communicate()
    assert drill.returncode == 130
    assert b"Traceback" not in said
    assert psutil.Process(pid).status() != psutil.STATUS_STOPPED


@pytest.mark.slow
async def test_a_service_that_slept_beyond_its_lease_does_not_finish_what_another_took_over(
    small_stack, bus, begin, play
) -> None:
    await begin("lasts-60-1")
    card = passed(await play(small_stack, "pause-service"))
    assert 1.5 < card.recover_s < 60
    await ended_once(bus, "lasts-60-1")


@pytest.mark.slow
async def test_a_service_cut_off_from_the_broker_loses_its_stage_to_one_that_is_not(
    small_stack, bus, begin, play
) -> None:
    await begin("lasts-90-60-2")
    card = passed(await play(small_stack, "cut-network"))
    assert 1.5 < card.recover_s < 60
    await ended_once(bus, "lasts-90-60-2")


async def test_a_killed_broker_keeps_what_it_acknowledged_and_everybody_finds_it_again(small_stack, play) -> None:
    card = passed(await play(small_stack, "kill-broker"))
    assert 0 < card.recover_s < 40


async def test_poison_becomes_one_dead_letter_each_and_holds_up_nobody(small_stack, play) -> None:
    card = passed(await play(small_stack, "poison", seed=3))
    assert card.doubled == 0


async def test_every_message_of_a_run_again_changes_nothing(small_stack, bus, begin, play) -> None:
    await begin("fails-0")
    async with asyncio.timeout(60):
        while await bus.last(RunFailed, "fails-0") is None:
            await asyncio.sleep(0.1)
    card = passed(await play(small_stack, "duplicate-everything", run_id="fails-0"))
    assert card.doubled == 0


async def test_a_worker_that_somebody_killed_after_a_mark_gets_a_scorecard_and_a_run_without_one_gets_none(
    small_stack, client
) -> None:
    assert await score_kill_of_worker(client, small_stack.layout, "marked") is None
    await begin_drill(client.bus, new_drill(KILL_WORKER, "marked", "training worker 7"))
    lost = TrainingInterrupted(run_id="marked", epoch=1, attempt=1, cause="killed", last_step=9, detail="")
    back = TrainingResumed(run_id="marked", epoch=1, attempt=2, resume_step=6, checkpoint_id="c", seconds_lost=1.0)
    for event in (lost, back):
        await client.bus.publish(event)

    result = await score_kill_of_worker(client, small_stack.layout, "marked")
    assert result is not None
    card = passed(result)
    assert 0 < card.detect_s <= card.recover_s
    assert card.checks[0].detail == "at step 6, 3 steps taken again"
    assert card in await facts(client.bus, "marked")


@pytest.mark.slow
async def test_all_plays_what_it_can_and_says_what_it_left_out(small_stack) -> None:
    ropewalk = Path(sysconfig.get_path("scripts")) / "ropewalk"
    played = await asyncio.create_subprocess_exec(
        *(ropewalk, "drill", "all", "--json", "--minutes", "1", "--state-dir", small_stack.layout.state_dir),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, complaints = await asyncio.wait_for(played.communicate(), 300)
    assert (played.returncode, complaints) == (0, b""), said
    answer = json.loads(said)
    assert {"kill-service", "pause-service", "cut-network", "kill-broker", "poison"} <= {
        each["drill"] for each in answer["drills"]
    }
    assert {"kill-worker", "fill-disk"} <= set(answer["left_out"])
    assert all(Path(each["html"]).is_file() for each in answer["drills"])


@pytest.mark.slow
async def test_a_full_disk_is_named_in_the_status_and_loses_nothing(small_disk_stack, play) -> None:
    card = passed(await play(small_disk_stack, "fill-disk", hold_s=8.0))
    assert card.detect_s < 10


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("fill-disk", {}, "put a new stack's store on a small one first"),
        ("kill-worker", {}, "no run is in training now"),
        ("kill-service", {"service": "evaluator"}, "service 'evaluator' is not part of this stack"),
        ("kill-service", {"run_id": "nobodys"}, "no service works on run 'nobodys' now"),
        ("duplicate-everything", {"run_id": "nobodys"}, "there is no run 'nobodys' in the log"),
    ],
)
async def test_a_missing_precondition_is_a_sentence_and_no_fault(small_stack, bus, play, name, options, said) -> None:
    before = [item.sequence async for item in bus.read("evt.drill.*.*.*")]
    with pytest.raises(NotPreparedError, match=said):
        await play(small_stack, name, **options)
    assert [item.sequence async for item in bus.read("evt.drill.*.*.*")] == before
