"""A service that publishes all the time and appends every acknowledged run id to the file it is given."""

import asyncio
import sys
from itertools import count
from pathlib import Path

from ropewalk.admin.topology import apply_topology
from ropewalk.events.run import StageInterrupted
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings

CAUSE = "x" * 8000  # more than the page that a full disk may still have

if __name__ == "__main__":
    service = Service("publishing", RuntimeSettings())
    acknowledged = Path(sys.argv[1])

    async def publish() -> None:
        for number in count():
            event = StageInterrupted(run_id=f"r{number}", stage="train", epoch=1, cause=CAUSE)
            await service.bus.publish(event)
            with acknowledged.open("a") as file:
                file.write(f"{event.run_id}\n")
            await asyncio.sleep(0.1)

    service.background(publish)
    asyncio.run(apply_topology(service.settings.nats, consumers=service.consumers()))
    service.run()
