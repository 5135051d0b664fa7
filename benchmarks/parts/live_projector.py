"""The monitor's projector in a process of its own, which may be killed at any time.

python live_projector.py <NatsSettings as JSON> <folder for snapshots>
"""

import asyncio
import logging
import sys
from pathlib import Path

from ropewalk.bus.connection import connect
from ropewalk.bus.settings import NatsSettings
from ropewalk.monitor.adapters.projections import LiveProjector
from ropewalk.projections.asking import SUBJECT
from ropewalk.runtime.broker import SharedBroker


async def main() -> None:
    """Run until killed."""
    settings = NatsSettings.model_validate_json(sys.argv[1])
    connection = await connect(settings, "monitor")
    broker = SharedBroker(lambda: connection)
    projector = LiveProjector(settings, Path(sys.argv[2]), snapshot_every_s=0.2)
    broker.subscriber(f"{SUBJECT}.{{name}}", queue="projector")(projector.answer)
    await broker.start()
    await projector.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
