"""A service that turns due timers into facts. Started as a process by the tests."""

import asyncio

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.schedules import DueTimer
from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.consumers import timer
from ropewalk.events.run import StageStalled
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings


async def on_watch(due: DueTimer) -> Outcome:
    stalled = StageStalled(run_id=due.entity, stage=due.body.decode() or "s", epoch=1, silent_s=1.0)
    return Done((stalled,))


if __name__ == "__main__":
    service = Service("timing", RuntimeSettings())
    watch = timer("timing", "watch")
    service.reads(watch)
    service.on_due(watch, on_watch)
    asyncio.run(apply_topology(service.settings.nats, consumers=service.consumers()))
    service.run()
