"""Real service processes under their own rights: they come up without a single refusal, and a lack of rights shows."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats.errors
import pytest

from ropewalk.bus.connection import connect

LIGHT = ("ingest", "evaluator")  # the others need Ray, Triton or a database: tests/e2e runs all seven together


@pytest.fixture
def start(guarded, tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Starts a service as a user; returns its log. All are stopped at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def started(service: str, user: str) -> Path:
        settings, log = guarded.settings(user), tmp_path / f"{service}.log"
        environment = os.environ | {
            "ROPEWALK_NATS_URL": settings.url,
            "ROPEWALK_NATS_USER": settings.user,
            "ROPEWALK_NATS_NKEY_FILE": str(settings.nkey_file),
            "ROPEWALK_STATE_DIR": str(tmp_path / service),
        }
        module = f"ropewalk.{service.replace('-', '_')}"
        with log.open("wb") as output:
            process = subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=output, stderr=output)
        running.append(process)
        return log

    yield started
    for process in running:
        process.kill()
        process.wait(20)


async def answer_of(guarded, service: str, log: Path, wanted: Callable[[dict], bool]) -> dict:
    """What the service says of itself, once it is as wanted."""
    client = await connect(guarded.settings("supervisor"), "supervisor")
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            try:
                said = json.loads((await client.request(f"ctl.ping.{service}", timeout=1)).data)
            except (nats.errors.Error, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            if wanted(said):
                return said
            await asyncio.sleep(0.1)
    finally:
        await client.close()
    raise AssertionError(log.read_text())


@pytest.mark.parametrize("service", LIGHT)
async def test_a_service_is_ready_under_its_own_rights_without_a_refusal(guarded, start, service: str) -> None:
    log = start(service, service)
    await answer_of(guarded, service, log, lambda said: said["ready"])
    assert "iolation" not in log.read_text()
    assert "refused" not in log.read_text()


async def test_a_service_that_lacks_a_right_is_not_ready_and_names_it(guarded, start) -> None:
    config = guarded.layout.nats_config
    lacking = "$JS.API.CONSUMER.MSG.NEXT.CONTROL.ingest__cancel"
    config.write_text(config.read_text().replace(f'"{lacking}", ', ""))
    guarded.reload()
    log = start("ingest", "ingest")
    try:
        said = await answer_of(guarded, "ingest", log, lambda said: "may not" in " ".join(said["reasons"]))
    finally:
        guarded.write_config()
        guarded.reload()
    assert not said["ready"]
    assert f"user 'ingest' may not publish on '{lacking.lower()}'" in " ".join(said["reasons"])


async def test_a_service_with_the_key_of_another_never_gets_ready_and_says_why(guarded, start) -> None:
    log = start("evaluator", "ingest")
    deadline = time.monotonic() + 60
    while "refused by the bus: user 'ingest' may not" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        await asyncio.sleep(0.1)
