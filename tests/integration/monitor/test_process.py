"""The service as it ships: its own process, a real nats-server, chDB, and clients over HTTP."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import clickhouse_connect
import httpx
import pytest

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.events.monitoring import (
    AcknowledgeAlarm,
    AlarmAcknowledged,
    AlarmCleared,
    AlarmRaised,
    BaselineSealed,
    CostRecorded,
    Rebaseline,
    SignalComputed,
    SignalsComputed,
)
from ropewalk.events.run import StageCompleted
from ropewalk.events.serving import RequestLogBatch
from ropewalk.events.streams import stream_of
from ropewalk.events.training import StepMetrics, StepMetricsBatch
from ropewalk.monitor.adapters.clickhouse import open_embedded
from ropewalk.monitor.contract import CONTRACT
from ropewalk.monitor.schema import migrations

TOKEN = "test-reader"


class Monitor:
    """The monitor's process, which can be killed and started again."""

    def __init__(self, nats, folder, port):
        self.port, self.process = port, None
        self.log = folder / "monitor.log"
        self._environment = os.environ | {
            "ROPEWALK_NATS_URL": nats.settings.url,
            "ROPEWALK_NATS_USER": nats.settings.user,
            "ROPEWALK_NATS_PASSWORD": nats.settings.password,
            "ROPEWALK_STATE_DIR": str(folder / "state"),
            "ROPEWALK_MONITOR_PORT": str(port),
            "ROPEWALK_MONITOR_TOKEN": TOKEN,
            "ROPEWALK_MONITOR_SINK_WAIT_S": "0.2",
        }

    def launch(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ropewalk.monitor"], env=self._environment, stdout=log, stderr=log
            )

    def start(self):
        self.launch()
        self.wait_for("SELECT 1", lambda text: text == "1\n")

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process = None
        return code

    def ask(self, sql):
        return httpx.get(f"http://127.0.0.1:{self.port}", params={"query": sql}, auth=("ropewalk", TOKEN)).text

    def wait_for(self, sql, fits, within_s=30.0):
        deadline, seen = time.monotonic() + within_s, "no answer"
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                seen = self.ask(sql)
                if fits(seen):
                    return seen
            time.sleep(0.05)
        raise AssertionError(f"{sql} still gives {seen!r}\n{self.log.read_text()}")


def running(nats, folder, port):
    found = Monitor(nats, folder, port)
    found.start()
    yield found
    if found.process is not None:
        found.process.kill()
        found.process.wait(20)


@pytest.fixture
def monitor(nats_server, tmp_path, unused_port):
    """A monitor that may be killed."""
    yield from running(nats_server, tmp_path, unused_port)


@pytest.fixture(scope="module")
def shared_monitor(shared_nats, tmp_path_factory, free_port):
    """A monitor for tests that leave it alone and have a model of their own."""
    yield from running(shared_nats, tmp_path_factory.mktemp("monitor"), free_port())


def send(nats, messages):
    """Publish as serving and the trainer do, acknowledged by the stream."""

    async def all_of_them():
        bus = await Bus.connect(nats.settings, "test")
        for number, message in enumerate(messages):
            await bus.publish(message, cause_id="test", key=f"{message.type_name()}/{hash(message)}/{number}")
        await bus.close()

    asyncio.run(all_of_them())


def facts(nats, kind):
    async def read():
        bus = await Bus.connect(nats.settings, "test")
        subject = f"{kind.subject_prefix()}.*"
        found = [stored.message async for stored in bus.read(subject, stream=stream_of(subject))]
        await bus.close()
        return found

    return asyncio.run(read())


def batches(requests, size=10):
    return [
        RequestLogBatch(run_id="run-1", rows=tuple(requests[start : start + size]))
        for start in range(0, len(requests), size)
    ]


def test_requests_steps_and_costs_become_rows_and_shifted_traffic_an_alarm(shared_monitor, shared_nats, make):
    step = {"attempt": 1, "loss": 3.0, "grad_norm": 1.0, "lr": 0.01, "tokens": 512}
    step |= {"step_s": 0.1, "data_s": 0.0, "checkpoint_s": 0.0, "time_unix": time.time()}
    send(
        shared_nats,
        [
            *batches([make.request(n, shifted=n >= 200) for n in range(260)]),
            StepMetricsBatch(run_id="run-1", rows=tuple(StepMetrics(step=n, **step) for n in range(50))),
            StageCompleted(run_id="run-1", stage="train", epoch=1, seconds=60.0, cpu_seconds=90.0),
        ],
    )
    shared_monitor.wait_for("SELECT count() FROM inference WHERE model = 'python-stdlib'", lambda text: text == "260\n")
    shared_monitor.wait_for("SELECT count() FROM train_step", lambda text: text == "50\n")
    shared_monitor.wait_for("SELECT usd FROM cost", lambda text: text == "0.001\n")
    shared_monitor.wait_for("SELECT signal FROM alarm ORDER BY signal", lambda text: "prompt_novelty" in text)
    assert len(facts(shared_nats, BaselineSealed)) == 1
    assert len(facts(shared_nats, CostRecorded)) == 1
    told = facts(shared_nats, SignalsComputed)
    assert [(each.num_requests, len(each.signals)) for each in told] == [(145 + 25 * n, 6) for n in range(5)]
    assert facts(shared_nats, SignalComputed) == [], "signals are telemetry: the log is for what changes"
    shared_monitor.wait_for("SELECT count() FROM signal", lambda text: text == "30\n")
    assert shared_monitor.ask("SELECT DISTINCT status FROM alarm") == "open\n"
    found = {alarm.signal: alarm for alarm in facts(shared_nats, AlarmRaised)}
    assert found["prompt_novelty"].changed_at in {make.request(n).time for n in range(185, 216)}

    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=shared_monitor.port, username="ropewalk", password=TOKEN, database="ropewalk"
    )
    rows = client.query(
        "SELECT model_version, count() FROM inference WHERE model = 'python-stdlib' GROUP BY model_version"
    ).result_rows
    assert rows == [(1, 260)]
    client.close()


def test_kills_and_a_dead_broker_lose_nothing_and_double_nothing(monitor, nats_server, make):
    """Four parts of traffic; after each the monitor is killed at once, once the broker as well.

    What a killed monitor held comes again after seconds here, not after a minute.
    """
    soon = [replace(consumer, ack_wait_s=4.0) for consumer in CONTRACT.tables]
    asyncio.run(apply_topology(nats_server.settings, soon))
    messages = batches([make.request(n, shifted=n >= 300) for n in range(400)], size=4)
    for part in range(4):
        send(nats_server, messages[part * 25 : part * 25 + 25])
        time.sleep(0.05 * part)  # not to wait for anything: to be killed at another point each time
        monitor.stop(signal.SIGKILL)
        if part == 2:
            nats_server.stop()
            nats_server.start()
        monitor.start()
    monitor.wait_for("SELECT uniqExact(request_id) FROM inference", lambda text: text == "400\n", within_s=90)
    assert monitor.ask("SELECT count() FROM inference") == "400\n"
    monitor.wait_for("SELECT count() > 0 FROM alarm", lambda text: text == "1\n")
    alarms = facts(nats_server, AlarmRaised)
    assert len({alarm.alarm_id for alarm in alarms}) == len(alarms), alarms
    assert {alarm.signal for alarm in alarms} >= {"prompt_novelty"}, alarms
    assert len(facts(nats_server, BaselineSealed)) == 1
    told = {each.num_requests for each in facts(nats_server, SignalsComputed)}
    # One for each 25 seconds of traffic in order. What a kill held back comes after what is newer: no news for readers.
    assert (400 - 120) // 25 - 4 <= len(told) <= (400 - 120) // 25
    monitor.wait_for("SELECT count() FROM signal", lambda text: text == f"{6 * len(told)}\n")


def test_an_alarm_is_acknowledged_cleared_by_a_new_baseline_and_raised_again_with_the_next_number(
    monitor, nats_server, make
):
    """As `ropewalk alarms` asks for it; what asks for nothing that there is becomes a dead letter."""
    send(nats_server, batches([make.request(n, shifted=n >= 200) for n in range(260)]))
    monitor.wait_for("SELECT count() > 0 FROM alarm", lambda text: text == "1\n")
    alarm = facts(nats_server, AlarmRaised)[0]
    send(
        nats_server,
        [
            AcknowledgeAlarm(run_id="run-1", alarm_id=alarm.alarm_id, by="ann", note="I look"),
            AcknowledgeAlarm(run_id="run-1", alarm_id="no-such-alarm"),
            Rebaseline(run_id="run-1", model="python-stdlib", model_version=9),
        ],
    )
    monitor.wait_for(
        f"SELECT status FROM alarm WHERE alarm_id = '{alarm.alarm_id}'", lambda text: text == "acknowledged\n"
    )
    [noted] = facts(nats_server, AlarmAcknowledged)
    assert (noted.alarm_id, noted.by, noted.note) == (alarm.alarm_id, "ann", "I look")

    send(nats_server, [Rebaseline(run_id="run-1", model="python-stdlib", model_version=1, by="ann", reason="planned")])
    monitor.wait_for("SELECT countIf(status != 'cleared') FROM alarm", lambda text: text == "0\n")
    assert {cleared.reason for cleared in facts(nats_server, AlarmCleared)} == {"rebaselined by ann: planned"}
    monitor.stop(signal.SIGKILL)
    monitor.start()
    send(nats_server, batches([make.request(n, shifted=n < 430) for n in range(260, 500)]))
    number = f"SELECT max(number) FROM alarm WHERE signal = '{alarm.signal}'"
    monitor.wait_for(number, lambda text: text == "2\n")
    assert len(facts(nats_server, BaselineSealed)) == 2
    assert monitor.stop() == 0


def test_a_malformed_message_becomes_a_dead_letter_and_the_next_one_is_stored(shared_monitor, shared_nats, make):
    async def by_hand():
        bus = await Bus.connect(shared_nats.settings, "test")
        await bus.connection.jetstream().publish("log.infer.batch.v1.run-1", b'{"rows": "what?"}')
        await bus.close()

    asyncio.run(by_hand())
    send(shared_nats, batches([make.request(0, model="neighbour")]))
    shared_monitor.wait_for("SELECT count() FROM inference WHERE model = 'neighbour'", lambda text: text == "1\n")

    async def dead_letters():
        bus = await Bus.connect(shared_nats.settings, "test")
        info = await bus.connection.jetstream().stream_info("DLQ")
        await bus.close()
        return info.state.messages

    deadline = time.monotonic() + 10
    while asyncio.run(dead_letters()) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)


async def test_a_monitor_that_is_older_than_its_tables_ends_with_one_sentence(nats_server, tmp_path, unused_port):
    beyond = len(migrations()) + 1
    store = await open_embedded(tmp_path / "state" / "clickhouse")
    await store.insert("schema_version", [{"version": beyond, "name": "of_tomorrow"}])
    await store.close()
    older = Monitor(nats_server, tmp_path, unused_port)
    older.launch()
    assert await asyncio.to_thread(older.process.wait, 30) == 1
    [line] = [line for line in older.log.read_text().splitlines() if "a background task" in line]
    assert f"the tables have version {beyond} and this program knows versions up to {beyond - 1}: start" in line
    assert "Traceback" not in older.log.read_text()
