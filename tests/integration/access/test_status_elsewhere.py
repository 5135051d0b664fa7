"""`ropewalk status` of services that nobody started with `ropewalk up`: it knows the address of their bus, no more."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import NotFoundError

from ropewalk.bus.bulk import address_of
from ropewalk.bus.bus import Bus
from ropewalk.bus.wire import Address, Wire
from ropewalk.events.data import CorpusIngested
from ropewalk.local.port_claims import PortClaims
from ropewalk.local.ports import LOOPBACK, Ports, choose_ports

STARTED = ("ingest", "monitor")
# Ingest may write all of these, and an operator none.
WRITTEN_BY_NOBODY = ("state.run.pool.v1.stranger", "evt.run.accepted.v1.stranger", "state.run.ingest.v1.stranger")


@pytest.fixture(scope="module")
def services(guarded, tmp_path_factory) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Two of the seven, each as its own user."""
    running = {}
    for service in STARTED:
        settings, folder = guarded.settings(service), tmp_path_factory.mktemp(service)
        environment = os.environ | {
            "ROPEWALK_NATS_URL": settings.url,
            "ROPEWALK_NATS_USER": settings.user,
            "ROPEWALK_NATS_NKEY_FILE": str(settings.nkey_file),
            "ROPEWALK_STATE_DIR": str(folder),
            "ROPEWALK_MONITOR_PORT": str(choose_ports(Ports(clickhouse_http=1), PortClaims()).clickhouse_http),
        }
        with (folder / "log").open("wb") as log:
            running[service] = subprocess.Popen(
                [sys.executable, "-m", f"ropewalk.{service}"], env=environment, stdout=log, stderr=log
            )
    yield running
    for process in running.values():
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(20)


@pytest.fixture
def operator(guarded) -> Address:
    """The only thing that a person has: an address with a name and a password."""
    return Address(url=f"nats://operator:{guarded.password}@{LOOPBACK}:{guarded.ports.nats}")


def run_status(url: str, home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("ROPEWALK_")}
    return subprocess.run(
        [sys.executable, "-m", "ropewalk.cli.main", "status", *options],
        env=surroundings | {"ROPEWALK_NATS_URL": url, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def status_until(url: str, home: Path, words: dict[str, str]) -> dict[str, Any]:
    """What `ropewalk status --json` says once the named services are as wanted."""
    deadline = time.monotonic() + 60
    while True:
        done = run_status(url, home, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        said = {each["service"]: each["status"] for each in found["services"]}
        if words.items() <= said.items():
            return found
        assert time.monotonic() < deadline, found


async def state_a_fact(guarded) -> None:
    bus = await Bus.connect(guarded.settings("maintainer"), "maintainer")
    try:
        await bus.publish(
            CorpusIngested(run_id="r", segments=(), num_documents=0, num_bytes=0, num_quarantined=0), cause_id="c"
        )
    finally:
        await bus.close()


def test_services_queues_and_problems_are_shown_with_nothing_but_the_address_of_the_bus(
    guarded, services, operator, tmp_path: Path
) -> None:
    asyncio.run(state_a_fact(guarded))  # for a service that is not started

    found = status_until(operator.url, tmp_path, {"ingest": "ready", "monitor": "ready", "trainer": "no answer"})

    silent = [each["what"].split()[0] for each in found["problems"] if each["kind"] == "not_answering"]
    assert sorted(silent) == ["checkpoint-manager", "evaluator", "preprocessing", "serving", "trainer"]
    (queue,) = [each for each in found["queues"] if each["consumer"].startswith("preprocessing__")]
    assert (queue["stream"], queue["pending"]) == ("CONTROL", 1)
    assert guarded.password not in json.dumps(found)
    assert list(tmp_path.iterdir()) == []  # no state folder was looked for or made

    shown = run_status(operator.url, tmp_path).stdout
    assert "trainer does not answer: it is not started" in shown
    assert "read the log of trainer" in shown


def test_the_monitor_answers_whoever_may_ask_and_looks_with_its_own_rights(
    guarded, services, operator, tmp_path: Path
) -> None:
    status_until(operator.url, tmp_path, {"monitor": "ready"})
    with Wire(address_of(guarded.settings("operator"))) as wire:
        said = json.loads(wire.request("ctl.status", b"", 5.0).body)
    assert said["seen"]["broker"]["answers"]
    assert {each["service"] for each in said["seen"]["services"] if each["answered"]} == set(STARTED)
    assert not [each for each in said["seen"]["services"] if each["answered"] and each["reasons"]]


def test_a_monitor_that_hangs_is_named_by_whoever_asks(services, operator, tmp_path: Path) -> None:
    status_until(operator.url, tmp_path, {"monitor": "ready"})
    services["monitor"].send_signal(signal.SIGSTOP)
    try:
        found = status_until(operator.url, tmp_path, {"monitor": "no answer", "ingest": "ready"})
    finally:
        services["monitor"].send_signal(signal.SIGCONT)
    assert any(each["what"].startswith("monitor does not answer") for each in found["problems"])


def test_a_bus_that_is_away_is_named_and_the_exit_code_says_so(tmp_path: Path) -> None:
    url = f"nats://{LOOPBACK}:{choose_ports(Ports(nats=1), PortClaims()).nats}"
    done = run_status(url, tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert f"the bus at {url} does not answer" in " ".join(done.stdout.split())


@pytest.mark.usefixtures("services")
async def test_a_service_answers_an_inbox_and_writes_nowhere_else_for_whoever_asks(
    as_user, operator, tmp_path: Path
) -> None:
    await asyncio.to_thread(status_until, operator.url, tmp_path, {"ingest": "ready"})
    client = await as_user("operator")
    for subject in WRITTEN_BY_NOBODY:
        await client.publish("ctl.ping.ingest", b"{}", reply=subject)
    said = json.loads((await client.request("ctl.ping.ingest", b"{}", timeout=20)).data)  # it has seen the others
    assert said["reasons"] == []
    for subject in WRITTEN_BY_NOBODY:
        with pytest.raises(NotFoundError):
            await client.jetstream().get_last_msg("CONTROL", subject)
