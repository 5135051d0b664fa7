"""A service with one consumer, whose handler kills the process for some messages. Started as a process by the tests.

The server waits a second for an outcome instead of half a minute, so that the deaths of a message take seconds.
"""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

from ropewalk.admin.topology import apply_topology
from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.checkpoint import CheckpointPruned
from ropewalk.events.contract import Reaction
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings

ACK_WAIT_S = 1.0


async def handle(event: CheckpointPruned) -> Outcome:
    if event.uri == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    if event.uri == "slow":
        await asyncio.sleep(0.2)
    with (Path(os.environ["ROPEWALK_STATE_DIR"]) / "handled").open("a") as file:
        file.write(f"{event.run_id}\n")
    return Done()


if __name__ == "__main__":
    service = Service("killing", RuntimeSettings())
    service.on(Reaction("pruned", CheckpointPruned), handle)
    specs = [replace(spec, ack_wait_s=ACK_WAIT_S) for spec in service.consumers()]
    asyncio.run(apply_topology(service.settings.nats, specs))
    service.run()
