"""A key is replaced while the server runs: the old one opens nothing, its owner goes on, nobody else notices."""

import asyncio
import time

import pytest

from ropewalk.bus.connection import connect
from ropewalk.bus.errors import BusError, DeniedError
from ropewalk.local.broker.keys import ensure_keys, export_key, public_key, replace_key, seed_file
from ropewalk.local.broker.rotation import rotate
from ropewalk.local.credentials import ensure_credentials
from ropewalk.local.lock import held
from ropewalk.local.state import StackState, endpoints_of, write_state
from ropewalk.status.seen import ProcessState


async def until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def is_permitted(client, subject: str) -> bool:
    try:
        await client.request(subject, b"{}", timeout=10)
    except DeniedError:
        return False
    return True


async def until_reloaded(guarded) -> None:
    log = guarded.layout.log_of("nats-server")
    num_before = log.read_text().count("Reloaded server configuration")
    guarded.reload()
    await until(lambda: log.read_text().count("Reloaded server configuration") > num_before)


async def test_a_connected_user_goes_on_with_its_new_key_and_others_stay_connected(guarded, as_user) -> None:
    trainer, monitor = await as_user("trainer"), await as_user("monitor")

    replace_key(guarded.layout.keys, "trainer")
    guarded.write_config()
    await until_reloaded(guarded)

    await until(lambda: trainer.stats["reconnects"] == 1 and trainer.is_connected)
    await trainer.request("evt.training.started.v1.rotated", b"{}", timeout=10)
    await monitor.request("evt.monitoring.cost_recorded.v1.rotated", b"{}", timeout=10)
    assert monitor.stats["reconnects"] == 0


async def test_the_old_key_opens_nothing(guarded, tmp_path) -> None:
    old = tmp_path / "old.seed"
    export_key(guarded.layout.keys, "evaluator", old)
    replace_key(guarded.layout.keys, "evaluator")
    guarded.write_config()
    await until_reloaded(guarded)
    settings = guarded.settings("evaluator").model_copy(update={"nkey_file": old})
    with pytest.raises(BusError, match="does not know user 'evaluator'"):
        await connect(settings, "evaluator")


async def test_rights_that_a_reload_gives_are_used_without_a_new_process(guarded, as_user) -> None:
    client = await as_user("preprocessing")
    subject = "evt.run.rejected.v1.r"
    with pytest.raises(DeniedError):
        await client.request(subject, b"{}", timeout=10)
    config = guarded.layout.nats_config
    allowed = '"evt.data.tokenizer_trained.v1.*"'
    config.write_text(config.read_text().replace(allowed, f'{allowed}, "{subject}"'))
    await until_reloaded(guarded)
    deadline = time.monotonic() + 20
    while not await is_permitted(client, subject):  # a refusal is remembered for a moment
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert client.stats["reconnects"] == 0
    assert client.denied.reason() == ""


async def test_a_server_that_knows_us_at_the_second_try_is_no_stranger(guarded, tmp_path) -> None:
    config, ours = guarded.layout.nats_config, public_key(seed_file(guarded.layout.keys, "monitor"))
    another = ensure_keys(tmp_path / "keys", ("monitor",))["monitor"]
    config.write_text(config.read_text().replace(ours, another))
    await until_reloaded(guarded)
    connecting = asyncio.create_task(connect(guarded.settings("monitor"), "monitor", reconnect_time_wait=3))
    log = guarded.layout.log_of("nats-server")
    await until(lambda: "authentication error" in log.read_text())
    guarded.write_config()
    await until_reloaded(guarded)
    client = await asyncio.wait_for(connecting, 20)
    assert client.is_connected
    await client.close()


def test_rotating_tells_the_running_server_and_waits_until_it_knows(guarded) -> None:
    layout, ports = guarded.layout, guarded.ports
    ensure_credentials(layout.credentials_file)
    with held(layout):
        state = StackState(
            supervisor_pid=int(layout.lock_file.read_text()),
            state_dir=str(layout.state_dir),
            ports=ports,
            endpoints=endpoints_of(ports),
            processes=(ProcessState(service="nats-server", pid=guarded.process.pid, status="ready"),),
        )
        write_state(layout.stack_file, state)
        password = ensure_credentials(layout.credentials_file).nats_password

        rotated = rotate(layout, "operator")

    assert rotated.live
    assert not rotated.restarted
    assert rotated.public_key == public_key(seed_file(layout.keys, "operator"))
    assert ensure_credentials(layout.credentials_file).nats_password != password


def test_rotating_in_a_stack_that_is_down_changes_the_file_only(tmp_path, guarded) -> None:
    layout = type(guarded.layout)(tmp_path)
    before = ensure_keys(layout.keys, ("trainer",))

    rotated = rotate(layout, "trainer")

    assert not rotated.live
    assert rotated.public_key != before["trainer"]
    assert rotated.public_key == public_key(seed_file(layout.keys, "trainer"))
