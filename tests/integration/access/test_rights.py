"""What each user may not do is refused by a real server at once and by name; what it must do is not."""

import asyncio
import json
import os
import subprocess
import sys
import time

import nats
import nats.errors
import pytest

from ropewalk.admin.access import STAGE_EMITS, emitted_by, rights_of
from ropewalk.admin.contracts import CONSUMERS, CONTRACTS, SERVICE_USERS
from ropewalk.bus import client as permissions
from ropewalk.bus.bus import Bus
from ropewalk.bus.errors import BusError, DeniedError
from ropewalk.delivery.consumer import Consumer
from ropewalk.events.evaluation import EvaluationStarted
from ropewalk.events.registry import MESSAGE_TYPES
from ropewalk.events.run import RunAccepted, RunFailed, stage_state_subject

AT_ONCE_S = 1.0
CHANGES = (
    "STREAM.CREATE.MINE",
    "STREAM.UPDATE.CONTROL",
    "STREAM.DELETE.CONTROL",
    "STREAM.PURGE.CONTROL",
    "STREAM.MSG.DELETE.CONTROL",
    "STREAM.RESTORE.CONTROL",
    "STREAM.SNAPSHOT.CONTROL",
    "CONSUMER.CREATE.CONTROL",
    "CONSUMER.CREATE.CONTROL.mine",
    "CONSUMER.CREATE.CONTROL.mine.evt.>",
    "CONSUMER.DURABLE.CREATE.CONTROL.mine",
    "CONSUMER.DELETE.CONTROL.trainer__train",
)
EVERYTHING = (">", "evt.>", "cmd.>", "dlq.>", "log.>", "ctl.>", "_INBOX.>", "_INBOX_operator.>", "$JS.>", "$SYS.>")
UNREAD = ("DLQ", "INFER", "TEL", "ADVISORY", "SCHED")
ONLY_MESSAGES = tuple(kind for kind in MESSAGE_TYPES if kind.plane in {"cmd", "evt", "tel", "log"})


def forbidden_to(service: str) -> list[str]:
    """Subjects of others: their facts and requests, state, leases, consumers, streams, and every change."""
    own_stages = set(CONTRACTS[service].stages)
    stages = {stage for other in SERVICE_USERS for stage in CONTRACTS[other].stages} - own_stages
    strangers = [spec for spec in CONSUMERS if spec.service != service]
    return [
        *(f"{kind.subject_prefix()}.r" for kind in ONLY_MESSAGES if kind not in emitted_by(service)),
        *(subject for stage in sorted(stages) for subject in (stage_state_subject(stage, "r"), f"$KV.lease.{stage}.r")),
        *(f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.durable}" for spec in strangers),
        *(f"$JS.ACK.{spec.stream}.{spec.durable}.1.1.1.1.1" for spec in strangers),
        *(f"dlq.{spec.stream}.{spec.durable}.1-0" for spec in strangers),
        *(f"$JS.API.DIRECT.GET.{stream}" for stream in UNREAD),
        *(f"$JS.API.STREAM.MSG.GET.{stream}" for stream in ("DLQ", "ADVISORY")),
        *(f"$JS.API.{change}" for change in CHANGES),
        *([] if CONTRACTS[service].watches else looking()),
        "_INBOX_supervisor.stolen",
        "sched.of-somebody-else.r",
        "anything",
    ]


def looking() -> list[str]:
    """What takes the right to watch: how much there is, how old it is, and how the others are."""
    looks = [f"$JS.API.{verb}.{stream}" for stream in UNREAD for verb in ("STREAM.MSG.GET", "STREAM.INFO")]
    return [*looks, "$JS.API.STREAM.LIST", "$JS.API.CONSUMER.LIST.CONTROL", "ctl.ping.ingest", "ctl.status"]


@pytest.mark.parametrize("service", SERVICE_USERS)
async def test_a_service_cannot_publish_ask_or_change_what_is_not_its_own(as_user, service: str) -> None:
    client = await as_user(service)
    for subject in forbidden_to(service):
        began = time.monotonic()
        with pytest.raises(DeniedError) as refusal:
            await client.request(subject, b"{}", timeout=10)
        assert time.monotonic() - began < AT_ONCE_S
        assert service in str(refusal.value)
        assert subject.lower() in str(refusal.value)


@pytest.mark.parametrize("service", SERVICE_USERS)
async def test_a_service_cannot_listen_to_others(as_user, service: str) -> None:
    client = await as_user(service)
    for subject in EVERYTHING:
        began = time.monotonic()
        with pytest.raises(DeniedError, match="may not subscribe"):
            await client.subscribe(subject)
        assert time.monotonic() - began < AT_ONCE_S


@pytest.mark.parametrize("service", SERVICE_USERS)
async def test_a_service_can_publish_what_it_emits_hold_its_leases_and_fetch_its_messages(
    as_user, service: str
) -> None:
    client = await as_user(service)
    subjects = [f"{kind.subject_prefix()}.mine-{service}" for kind in emitted_by(service)]
    for stage in CONTRACTS[service].stages:
        subjects += [stage_state_subject(stage, f"mine-{service}"), f"$KV.lease.{stage}.mine-{service}"]
    for subject in subjects:
        answer = json.loads((await client.request(subject, b"{}", timeout=10)).data)
        assert "error" not in answer, (subject, answer)
    for spec in CONTRACTS[service].consumers:
        info = json.loads(
            (await client.request(f"$JS.API.CONSUMER.INFO.{spec.stream}.{spec.durable}", timeout=10)).data
        )
        assert info["name"] == spec.durable
        inbox = await client.subscribe(f"{client.inbox}fetch.{spec.durable}")
        fetch = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.durable}"
        await client.publish(fetch, b'{"batch": 1, "no_wait": true}', reply=inbox.subject)
        await inbox.next_msg(timeout=10)
        await inbox.unsubscribe()
    assert client.denied.reason() == ""


async def test_a_service_answers_who_asks_it_and_nobody_else(as_user) -> None:
    trainer, supervisor = await as_user("trainer"), await as_user("supervisor")

    async def pong(message) -> None:
        await message.respond(b"pong")

    await trainer.subscribe("ctl.ping.trainer", cb=pong)
    assert (await supervisor.request("ctl.ping.trainer", timeout=10)).data == b"pong"
    with pytest.raises(DeniedError):
        await trainer.request(f"{supervisor.inbox}guessed", timeout=10)


@pytest.mark.parametrize("kind", [kind for kind in ONLY_MESSAGES if kind.plane != "cmd"])
async def test_an_operator_states_no_fact(as_user, kind) -> None:
    operator = await as_user("operator")
    with pytest.raises(DeniedError):
        await operator.request(f"{kind.subject_prefix()}.r", b"{}", timeout=10)


async def test_an_operator_with_a_plain_client_and_a_password_submits_and_reads(guarded) -> None:
    address = guarded.settings("operator").url.replace("nats://", f"nats://operator:{guarded.password}@")
    connection = await nats.connect(address)
    try:
        live = await connection.subscribe("cmd.>")
        body = b'{"run_id": "by-hand", "recipe": {}}'
        stored = await connection.jetstream().publish("cmd.run.submit.v1.by-hand", body)
        assert (await live.next_msg(timeout=10)).subject == "cmd.run.submit.v1.by-hand"
        found = await connection.jetstream().get_last_msg("CONTROL", "cmd.run.submit.v1.by-hand")
        assert found.seq == stored.seq
    finally:
        await connection.close()


async def test_the_owner_of_the_topology_states_no_fact_and_deletes_nothing(as_user) -> None:
    supervisor = await as_user("supervisor")
    for subject in ("evt.run.completed.v1.r", "cmd.run.submit.v1.r", "$JS.API.STREAM.DELETE.CONTROL", "$KV.lease.x.r"):
        with pytest.raises(DeniedError):
            await supervisor.request(subject, b"{}", timeout=10)


async def test_a_bus_says_at_once_what_it_may_not_publish(guarded) -> None:
    bus = await Bus.connect(guarded.settings("evaluator"), "evaluator")
    try:
        began = time.monotonic()
        sentence = r"'evaluator' may not publish on 'evt\.run\.accepted\.v1\.r'.*keys show evaluator"
        with pytest.raises(BusError, match=sentence):
            await bus.publish(RunAccepted(run_id="r", recipe={}, recipe_sha256="0"))
        assert time.monotonic() - began < AT_ONCE_S
        assert "evt.run.accepted.v1.r" in bus.connection.denied.reason()
    finally:
        await bus.close()


async def test_a_consumer_of_another_is_bound_to_nothing_however_late_the_refusal_comes(
    as_user, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permissions, "_REMEMBERED_S", 0.0)  # no request ever fails for the refusal of the one before
    spec = next(spec for spec in CONSUMERS if spec.durable == "ingest__cancel")
    consumer = Consumer(await as_user("evaluator"), spec, settle=lambda raw: raw.ack())
    try:
        await asyncio.wait_for(consumer.bind(), 5)
        assert not consumer.is_bound
    finally:
        await consumer.stop(asyncio.Event())


async def test_an_atomic_batch_with_one_forbidden_message_is_refused_at_once_and_stores_nothing(guarded) -> None:
    bus = await Bus.connect(guarded.settings("evaluator"), "evaluator")
    try:
        allowed = RunFailed(run_id="batch", stage="evaluate", message="m")
        forbidden = RunAccepted(run_id="batch", recipe={}, recipe_sha256="0")
        first = EvaluationStarted(run_id="batch", checkpoint_id="c")
        for batch in ([allowed, forbidden], [forbidden, allowed], [first, forbidden, allowed]):
            began = time.monotonic()
            with pytest.raises(DeniedError, match=r"evt\.run\.accepted"):
                await bus.publish_all(batch, cause_id="c")
            assert time.monotonic() - began < AT_ONCE_S
        assert [item async for item in bus.read("evt.*.*.*.batch")] == []
    finally:
        await bus.close()


@pytest.mark.parametrize("changes", [{"nkey_file": None, "user": ""}, {"nkey_file": None, "password": "wrong"}])
async def test_an_unknown_user_is_told_so_at_once(guarded, changes) -> None:
    settings = guarded.settings("operator").model_copy(update=changes)
    began = time.monotonic()
    with pytest.raises(BusError, match="does not know"):
        await Bus.connect(settings, "stranger")
    assert time.monotonic() - began < 3


async def test_what_every_stage_may_say_is_not_for_a_service_without_one(as_user) -> None:
    monitor = await as_user("monitor")
    assert CONTRACTS["monitor"].stages == ()
    assert not {f"{kind.subject_prefix()}.*" for kind in STAGE_EMITS} & set(rights_of("monitor").publish)
    with pytest.raises(DeniedError):
        await monitor.request("state.run.pool.v1.p", b"{}", timeout=10)


def test_a_service_that_is_started_as_another_user_says_so_and_ends(guarded, tmp_path) -> None:
    bus = {"URL": guarded.settings("operator").url, "USER": "operator", "PASSWORD": guarded.password}
    environment = {**os.environ, "ROPEWALK_STATE_DIR": str(tmp_path)}
    environment |= {f"ROPEWALK_NATS_{name}": value for name, value in bus.items()}
    command = [sys.executable, "-m", "ropewalk.ingest"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "user 'operator' may not subscribe to 'ctl.ping.ingest'" in done.stderr.splitlines()[-1]
