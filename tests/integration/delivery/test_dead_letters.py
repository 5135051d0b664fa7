"""Messages that a consumer rejects, on a real server with a real service process: set aside once, healed by a retry."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from integration.delivery.evolved_type import OLD_SUBJECT, ShelfCleared, register

from ropewalk.bus import dead_letters as wire
from ropewalk.bus.bus import Bus
from ropewalk.cli.exit_codes import USAGE
from ropewalk.client.dead_letters import DeadLetter, DeadLetters, matching
from ropewalk.client.errors import NotDeliverableError, UnknownLetterError
from ropewalk.events.checkpoint import CheckpointPruned
from ropewalk.events.run import StageInterrupted, StageStarted

SERVICE = Path(__file__).parent / "letters_service.py"
DEADLINE_S = 40.0
SetAside = Callable[[int], Awaitable[list[DeadLetter]]]
UntilEffects = Callable[[int], Awaitable[Counter[tuple[str, str]]]]
NUM_HEALTHY, NUM_POISON = 20, 5


@pytest.fixture
def letters(bus) -> DeadLetters:
    return DeadLetters(bus)


@pytest.fixture
def environment(nats_server, tmp_path) -> dict[str, str]:
    settings = nats_server.settings
    return os.environ | {
        "ROPEWALK_NATS_URL": settings.url,
        "ROPEWALK_NATS_USER": settings.user,
        "ROPEWALK_NATS_PASSWORD": settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path),
        "COLUMNS": "200",
    }


@pytest.fixture
def service(environment, tmp_path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "service.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, SERVICE], env=environment, stdout=log, stderr=log)
    yield process
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture
def set_aside(letters, eventually) -> SetAside:
    """Waits until so many letters are open."""

    async def wait(number: int) -> list[DeadLetter]:
        async def enough() -> bool:
            return len(await letters.read()) >= number

        await eventually(enough, DEADLINE_S)
        return await letters.read()

    return wait


async def effects(bus: Bus) -> Counter[tuple[str, str]]:
    found = [item.message async for item in bus.read("evt.run.>")]
    kinds = (StageInterrupted, StageStarted)
    return Counter((message.stage, message.run_id) for message in found if isinstance(message, kinds))


@pytest.fixture
def until_effects(bus, eventually) -> UntilEffects:
    """Waits until there are so many effects."""

    async def wait(number: int) -> Counter[tuple[str, str]]:
        async def enough() -> bool:
            return (await effects(bus)).total() >= number

        await eventually(enough, DEADLINE_S)
        return await effects(bus)

    return wait


def pruned(run_id: str, uri: str = "fine") -> CheckpointPruned:
    return CheckpointPruned(run_id=run_id, checkpoint_id=f"{run_id}-1", step=1, uri=uri)


def calls(folder: Path, handler: str) -> Counter[str]:
    return Counter((folder / handler).read_text().split())


async def test_every_poisoned_message_is_set_aside_once_and_healed_by_a_retry_that_nobody_else_sees(
    bus, letters, service, set_aside, until_effects, tmp_path
) -> None:
    poison = [f"poison-{number}" for number in range(NUM_POISON)]
    for number in range(NUM_HEALTHY):
        await bus.publish(pruned(f"healthy-{number}"))
        if number < NUM_POISON:
            await bus.publish(pruned(poison[number], "poison"))
    found = await set_aside(NUM_POISON)
    await until_effects(2 * NUM_HEALTHY + NUM_POISON)
    assert sorted(letter.subject for letter in found) == [pruned(run_id).subject for run_id in poison]
    assert {letter.consumer for letter in found} == {"letters__fragile"}
    assert {letter.error for letter in found} == {"the shelf is full: make room"}
    sturdy_before = calls(tmp_path, "sturdy")

    (tmp_path / "healed").touch()
    retried = [await letters.retry(letter) for letter in found]
    again = [await letters.retry(await letters.find(letter.id)) for letter in found]
    await bus.publish(pruned("after"))
    seen = await until_effects(2 * NUM_HEALTHY + 2 * NUM_POISON + 2)

    assert not any(each.repeated for each in retried)
    assert [(each.sequence, each.repeated) for each in again] == [(each.sequence, True) for each in retried]
    assert set(seen.values()) == {1}
    assert {run_id for stage, run_id in seen if stage == "fragile"} == {
        *poison,
        *(f"healthy-{number}" for number in range(NUM_HEALTHY)),
        "after",
    }
    assert calls(tmp_path, "sturdy") == sturdy_before + Counter(["after"])
    assert await letters.read() == []
    assert {letter.status for letter in await letters.read(settled=True)} == {"retried"}


async def test_a_message_rejected_again_is_a_new_letter_that_names_the_first(
    bus, letters, service, set_aside, until_effects, tmp_path
) -> None:
    await bus.publish(pruned("stubborn", "poison"))
    (first,) = await set_aside(1)
    await letters.retry(first)
    (second,) = await set_aside(1)
    assert (second.retry_of, second.subject) == (first.id, first.subject)

    (tmp_path / "healed").touch()
    await letters.retry(second)
    seen = await until_effects(2)
    assert seen == {("sturdy", "stubborn"): 1, ("fragile", "stubborn"): 1}
    assert await letters.read() == []


async def test_a_retry_that_died_before_it_was_marked_is_not_sent_again(
    bus, letters, service, set_aside, until_effects, tmp_path
) -> None:
    await bus.publish(pruned("torn", "poison"))
    (letter,) = await set_aside(1)
    (tmp_path / "healed").touch()
    headers = wire.redelivery(letter.headers, letter.id, letter.subject, corrected=False)
    headers["Nats-Msg-Id"] = "the window of the server is over"
    sent = await bus.connection.jetstream().publish(letter.subject, letter.body, headers=headers)

    retried = await letters.retry(letter)

    assert (retried.sequence, retried.repeated) == (sent.seq, True)
    assert (await letters.find(letter.id)).status == "retried"
    on_subject = [raw async for raw in bus.raw(letter.subject)]
    assert len(on_subject) == 2


async def test_a_malformed_body_is_retried_after_correction_and_then_readers_of_the_log_see_it(
    bus, letters, service, set_aside, until_effects
) -> None:
    await bus.connection.jetstream().publish("evt.checkpoint.pruned.v1.typo", b'{"run_id": "typo", "step": "one"}')
    found = await set_aside(2)
    assert {letter.consumer for letter in found} == {"letters__fragile", "letters__sturdy"}
    with pytest.raises(NotDeliverableError, match=r"would be rejected again: .*--body FILE"):
        await letters.retry(found[0])

    for letter in found:
        await letters.retry(letter, pruned("typo").model_dump_json().encode())

    seen = await until_effects(2)
    assert seen == {("sturdy", "typo"): 1, ("fragile", "typo"): 1}
    items = [item async for item in bus.read("evt.checkpoint.pruned.v1.typo")]
    assert {item.envelope.id for item in items} == {items[0].envelope.id}
    assert items[0].message == pruned("typo")


async def test_a_reader_of_the_log_sees_a_retried_message_once(bus, letters, service, set_aside) -> None:
    await bus.publish(pruned("read", "poison"))
    (letter,) = await set_aside(1)
    await letters.retry(letter)
    assert len([raw async for raw in bus.raw(letter.subject)]) == 2
    assert len([item async for item in bus.read(letter.subject)]) == 1


async def test_a_dropped_letter_keeps_its_reason_and_stays_dropped(bus, letters, service, set_aside) -> None:
    await bus.publish(pruned("unwanted", "poison"))
    (letter,) = await set_aside(1)

    assert await letters.drop(letter, "sent by a test")
    assert not await letters.drop(letter, "somebody else, at the same moment")

    assert await letters.read() == []
    dropped = await letters.find(letter.id)
    assert (dropped.status, dropped.mark["reason"], dropped.body) == ("dropped", "sent by a test", letter.body)
    with pytest.raises(NotDeliverableError, match="was dropped"):
        await letters.retry(dropped)


async def test_a_letter_whose_consumer_is_gone_is_not_sent_into_the_void(bus, letters, service, set_aside) -> None:
    await bus.publish(pruned("orphan", "poison"))
    (letter,) = await set_aside(1)
    await bus.connection.jetstream().delete_consumer("CONTROL", "letters__fragile")
    with pytest.raises(NotDeliverableError, match="there is no consumer letters__fragile on CONTROL any more"):
        await letters.retry(letter)
    with pytest.raises(UnknownLetterError, match="there is no dead letter 99"):
        await letters.find(99)


async def test_messages_of_an_older_major_are_handled_read_and_retried_in_the_present_form(
    bus, letters, service, set_aside, eventually, tmp_path, monkeypatch
) -> None:
    register(monkeypatch.setitem)
    context = bus.connection.jetstream()
    for run_id, took in (("short", "3 s"), ("long", "90 s"), ("odd", "a while")):
        await context.publish(f"{OLD_SUBJECT}.{run_id}", json.dumps({"run_id": run_id, "took": took}).encode())
    await bus.publish(ShelfCleared(run_id="new", seconds=1.0, shelf="spare"))

    found = {letter.subject.rpartition(".")[2]: letter for letter in await set_aside(2)}
    assert found["long"].error == "nobody clears a shelf for so long"
    assert "the body does not fit ropewalk.evt.checkpoint.shelf_cleared.v1" in found["odd"].error
    (tmp_path / "healed").touch()
    retried = await letters.retry(found["long"])
    again = await letters.retry(await letters.find(retried.id))

    async def completed() -> bool:
        return len([item async for item in bus.read("evt.run.stage_completed.v1.*")]) == 3

    await eventually(completed, DEADLINE_S)
    assert again.repeated
    stored = [raw.subject async for raw in bus.raw("evt.*.shelf_cleared.>")]
    assert stored[-1] == "evt.checkpoint.shelf_cleared.v2.long"
    seen = [item.message async for item in bus.read("evt.checkpoint.shelf_cleared.v2.*")]
    assert seen == [
        ShelfCleared(run_id="short", seconds=3.0, shelf="main"),
        ShelfCleared(run_id="long", seconds=90.0, shelf="main"),
        ShelfCleared(run_id="new", seconds=1.0, shelf="spare"),
    ]
    assert await bus.last(ShelfCleared, "short") == seen[0]


async def command(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ropewalk.cli.main", "dead", *arguments),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, error = await process.communicate()
    return process.returncode or 0, output.decode(), error.decode()


async def test_an_operator_lists_exports_rehearses_and_retries(
    bus, letters, service, environment, set_aside, tmp_path
) -> None:
    for name in ("first", "second"):
        await bus.publish(pruned(name, "poison"))
    found = await set_aside(2)
    (tmp_path / "healed").touch()

    code, listed, _ = await command(environment, "list", "--error", "SHELF", "--json")
    assert code == 0
    assert [letter["id"] for letter in json.loads(listed)] == [letter.id for letter in found]

    file = tmp_path / "letters.ndjson"
    await command(environment, "export", str(file))
    exported = [json.loads(line) for line in file.read_text().splitlines()]
    assert [json.loads(each["body"])["run_id"] for each in exported] == ["first", "second"]

    chosen = ("--all", "--subject", "*.first")
    _, rehearsed, _ = await command(environment, "retry", *chosen, "--dry-run")
    assert "would go to letters__fragile on evt.checkpoint.pruned.v1.first" in rehearsed
    assert len(await letters.read()) == 2

    code, retried, _ = await command(environment, "retry", *chosen, "--json")
    assert code == 0
    assert [each["id"] for each in json.loads(retried)["retried"]] == [found[0].id]
    assert [letter.id for letter in await letters.read()] == [found[1].id]

    code, _, error = await command(environment, "retry")
    assert (code, "which letters?" in error) == (USAGE, True)
    code, shown, _ = await command(environment, "show", str(found[1].id))
    assert (code, "the shelf is full: make room" in shown) == (0, True)


def test_letters_are_chosen_by_subject_consumer_and_a_part_of_the_reason() -> None:
    def letter(number: int, subject: str, error: str) -> DeadLetter:
        return DeadLetter(
            id=number,
            stream="CONTROL",
            sequence=1,
            consumer="ingest__submit",
            subject=subject,
            error=error,
            time="",
            message_time="",
            deliveries=1,
            headers={},
            body=b"",
            place="",
        )

    letters = [letter(1, "cmd.run.submit.v1.a", "Field x is missing"), letter(2, "evt.run.failed.v1.a", "no room")]
    assert matching(letters) == letters
    assert matching(letters, error="field X") == letters[:1]
    assert matching(letters, subject="evt.*") == letters[1:]
    assert matching(letters, consumer="trainer__*") == []
