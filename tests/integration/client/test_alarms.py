"""`ropewalk alarms` and the functions behind it, against a real broker and the projection of its log."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from ropewalk.cli.tree import app
from ropewalk.client import Client, ClientSettings
from ropewalk.client.alarms import acknowledge, find_alarm, rebaseline
from ropewalk.client.errors import ClientError
from ropewalk.client.log import alarms_in, open_log
from ropewalk.client.models import versions_of
from ropewalk.events.monitoring import (
    AcknowledgeAlarm,
    AlarmAcknowledged,
    AlarmCleared,
    AlarmRaised,
    BaselineSealed,
    Rebaseline,
)
from ropewalk.events.serving import ModelDeployed

DEPLOYED = ModelDeployed(
    run_id="run-1",
    model="code",
    model_version=1,
    checkpoint_id="c1",
    checkpoint_uri="u",
    export_uri="e",
    evaluation_uri="v",
    openai_url="http://here/v1",
    triton_grpc="t",
    triton_model="m",
    load_s=1.0,
)
SEALED = BaselineSealed(run_id="run-1", model="code", model_version=1, num_requests=120, signals=("latency",))


def an_alarm(number=1, signal="latency", detail="latency: it rose"):
    return AlarmRaised(
        run_id="run-1",
        alarm_id=f"code-1-{signal}-{number}",
        model="code",
        model_version=1,
        signal=signal,
        statistic=7e5,
        threshold=6e5,
        false_alarm_rate=1e-6,
        changed_at="2026-03-01T12:00:00.000Z",
        detected_at="2026-03-01T12:01:00.000Z",
        num_requests=300,
        baseline_mean=3.0,
        current_mean=4.0,
        detail=detail,
        number=number,
    )


@pytest.fixture
def settings(nats_server):
    return ClientSettings(nats=nats_server.settings)


@pytest.fixture
async def client(settings):
    async with await Client.connect(settings) as connected:
        for message in (DEPLOYED, SEALED, an_alarm(), an_alarm(2)):
            await connected.bus.publish(message)
        cleared = AlarmCleared(run_id="run-1", alarm_id="code-1-latency-1", model="code", reason="alarm 2 took over")
        await connected.bus.publish(cleared)
        yield connected


async def from_log(settings, read):
    def looking():
        with open_log(settings) as wire:
            return read(wire)

    return await asyncio.to_thread(looking)


async def test_open_alarms_are_listed_and_one_is_found_by_its_id(client, settings):
    assert [a["alarm_id"] for a in (await from_log(settings, alarms_in))["alarms"]] == ["code-1-latency-2"]
    every = await from_log(settings, lambda wire: alarms_in(wire, every=True))
    assert [(a["number"], a["status"]) for a in every["alarms"]] == [(2, "open"), (1, "cleared")]
    with pytest.raises(ClientError, match=r"there is no alarm 'x.*code-1-latency-2, code-1-latency-1"):
        await from_log(settings, lambda wire: find_alarm(wire, "x" * 5_000))


async def test_whoever_looks_after_an_alarm_waits_until_the_log_says_so(client, settings):
    alarm = await from_log(settings, lambda wire: find_alarm(wire, "code-1-latency-2"))

    async def monitor():
        async for stored in client.bus.follow(f"{AcknowledgeAlarm.subject_prefix()}.*"):
            asked = stored.message
            said = AlarmAcknowledged(run_id=asked.run_id, alarm_id=asked.alarm_id, by=asked.by, note=asked.note)
            await client.bus.publish(said)
            break

    answering = asyncio.create_task(monitor())
    await acknowledge(client, alarm, by="ann", note="I look")
    await answering
    found = await from_log(settings, lambda wire: find_alarm(wire, "code-1-latency-2"))
    assert (found["status"], found["acknowledged_by"]) == ("acknowledged", "ann")
    over = await from_log(settings, lambda wire: find_alarm(wire, "code-1-latency-1"))
    with pytest.raises(ClientError, match="is over \\(alarm 2 took over\\)"):
        await acknowledge(client, over, by="ann", note="")


async def test_a_new_baseline_is_asked_for_what_is_watched_only(client, settings):
    [version] = versions_of(
        {"code": {"versions": {"1": {"up": [{"from": "", "until": None, "run_id": "run-1"}], "run_id": "run-1",
         "checkpoint_id": "c1", "export_uri": "e", "promoted": [], "may_return": True}}, "aliases": {}}}
    )  # fmt: skip
    await rebaseline(client, version, "latency", by="ann", reason="new disk")
    asked = await client.bus.last(Rebaseline, "run-1")
    assert (asked.model, asked.model_version, asked.signal, asked.reason) == ("code", 1, "latency", "new disk")
    with pytest.raises(ClientError, match="signal 'happiness' of code@1 is not watched: choose one of latency"):
        await rebaseline(client, version, "happiness", by="ann", reason="")


async def test_the_command_lists_asks_and_refuses_with_one_sentence(client, nats_server, monkeypatch):
    for name, value in {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    await client.bus.publish(an_alarm(3, "error_rate", "error_rate: [/red] \x1b[31m rose"))

    async def ropewalk(*words):
        done = await asyncio.to_thread(CliRunner().invoke, app, ["alarms", *words])
        return done.exit_code, done.output, str(done.exception or "")

    code, shown, _ = await ropewalk()
    assert code == 0
    assert "code-1-latency-2" in shown
    assert "code-1-latency-1" not in shown
    assert "[/red] \\x1b[31m" in shown
    assert "1 is over, --all shows them" in shown
    _, told, _ = await ropewalk("list", "--all", "--json")
    assert [alarm["number"] for alarm in json.loads(told)["alarms"]] == [3, 2, 1]
    _, _, sentence = await ropewalk("ack", "code-1-latency-1")
    assert "is over" in sentence
    code, done, _ = await ropewalk("rebaseline", "code-1-latency-2", "--reason", "new disk")
    assert (code, "latency of code@1" in done) == (0, True)
    _, _, sentence = await ropewalk("rebaseline", "code@7")
    assert "there is no model 'code@7'; models: code@1" in sentence
