"""What the monitor does for `ropewalk runs`: keeps the projections and answers questions about them."""

import asyncio

from ropewalk.monitor.adapters.projections import LiveProjector
from ropewalk.runtime.bus import Bus
from ropewalk.runtime.settings import RuntimeSettings


async def project() -> None:
    """Until it is killed."""
    settings = RuntimeSettings()
    bus = await Bus.connect(settings.nats, "projector")
    await LiveProjector(settings.nats, settings.state_dir / "projections").run(bus.connection)


if __name__ == "__main__":
    asyncio.run(project())
