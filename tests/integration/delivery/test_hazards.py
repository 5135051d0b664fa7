"""A message that kills whoever handles it, on a real server: set aside after a few deaths, the others handled."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from ropewalk.client.dead_letters import DeadLetters
from ropewalk.events.checkpoint import CheckpointPruned

SERVICE = Path(__file__).parent / "killing_service.py"
DEADLINE_S = 90.0
HEALTHY = [f"healthy-{number}" for number in range(6)]


def pruned(run_id: str, uri: str = "") -> CheckpointPruned:
    return CheckpointPruned(run_id=run_id, checkpoint_id="c", step=1, uri=uri)


async def test_a_message_that_kills_its_process_becomes_a_dead_letter_and_holds_nobody_up(
    bus, nats_server, tmp_path, eventually
) -> None:
    settings, handled = nats_server.settings, tmp_path / "handled"
    environment = os.environ | {
        "ROPEWALK_NATS_URL": settings.url,
        "ROPEWALK_NATS_USER": settings.user,
        "ROPEWALK_NATS_PASSWORD": settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path),
    }
    for number, run_id in enumerate(HEALTHY):
        await bus.publish(pruned(run_id, "slow"))
        if number == 2:
            await bus.publish(pruned("killer", "killer"))
    letters, deaths = DeadLetters(bus), -1
    process: subprocess.Popen[bytes] | None = None
    with (tmp_path / "log").open("wb") as log:

        async def set_aside() -> bool:
            nonlocal process, deaths
            if process is None or process.poll() is not None:
                process, deaths = subprocess.Popen([sys.executable, SERVICE], env=environment, stderr=log), deaths + 1
            return bool(await letters.read()) and set(HEALTHY) <= set(handled.read_text().split())

        began = time.monotonic()
        await eventually(set_aside, DEADLINE_S)
        assert process is not None
        process.terminate()
        assert process.wait(20) == 0, f"{time.monotonic() - began:.0f} s: {(tmp_path / 'log').read_text()}"
    [letter] = await letters.read()
    assert (letter.subject, letter.consumer) == (pruned("killer").subject, "killing__pruned")
    assert letter.error == "the process that handled it died 3 times"
    assert deaths == 5  # twice before it looked suspicious
    assert set(Counter(handled.read_text().split())) == set(HEALTHY)
    assert not list((tmp_path / "in-hand" / "killing").iterdir())
