"""A service whose stage never ends, to be killed: `python holding.py NAME`."""

import asyncio
import sys

from ropewalk.events.base import Message
from ropewalk.events.contract import Stage
from ropewalk.events.run import RunAccepted
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.stages.context import StageContext


async def hold(context: StageContext, event: RunAccepted) -> tuple[Message, ...]:
    """Work until the process is killed."""
    await asyncio.Event().wait()
    return ()


def build(name: str, settings: RuntimeSettings) -> Service:
    """The service, whose only stage bears its name, and so does the run that it holds."""
    service = Service(name, settings)
    service.stage(Stage(name, RunAccepted), hold, when=lambda event: event.run_id == name)
    return service


if __name__ == "__main__":
    build(sys.argv[1], RuntimeSettings()).run()
