"""Messages that may have killed the process that handled them.

A crash in native code or a lack of memory leaves no outcome: the message comes again and kills again. So a message
that was delivered often is noted in a file while it is handled, one such message at a time. A note of a process that
is no more tells of a death, and after a few of them the message is set aside.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from ropewalk.bus.incoming import Incoming

logger = logging.getLogger(__name__)

_SUSPICIOUS_FROM = 3  # deliveries: what was delivered less often costs nothing here
_MAX_DEATHS = 3  # one may be an accident of the machine, three of one message are not


class Hazards:
    """The suspicious messages of one service. Their notes lie in `folder`, which outlives the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = asyncio.Lock()

    async def handle(
        self, raw: Incoming, consumer: str, work: Coroutine[Any, Any, None], set_aside: Callable[[str], Awaitable[None]]
    ) -> None:
        """Do the work on a suspicious message, or set it aside with the reason when it has killed too often."""
        try:
            async with self._one_at_a_time:
                await self._handle(self._folder / f"{consumer}-{raw.metadata.sequence.stream}", work, set_aside)
        finally:
            work.close()

    async def _handle(
        self, path: Path, work: Coroutine[Any, Any, None], set_aside: Callable[[str], Awaitable[None]]
    ) -> None:
        deaths = _deaths(path)
        if deaths >= _MAX_DEATHS:
            await set_aside(f"the process that handled it died {deaths} times")
            path.unlink(missing_ok=True)  # not before: what could not be set aside is tried again, not handled
            return
        _write(path, deaths)
        try:
            await work
        finally:
            path.unlink(missing_ok=True)


def is_suspicious(raw: Incoming) -> bool:
    """Whether a message was delivered so often that it may be a killer. Costs a tenth of `raw.metadata`."""
    tokens = raw.reply.split(".")
    # `$JS.ACK.<stream>.<consumer>.<delivered>…`; servers with domains put two tokens more before the stream.
    return int(tokens[4 if len(tokens) == 9 else 6]) >= _SUSPICIOUS_FROM


def _deaths(path: Path) -> int:
    try:
        pid, deaths = (int(word) for word in path.read_text().split())
    except (OSError, ValueError):
        return 0
    # Our own number in an old note: another process had it before us.
    return deaths if Path(f"/proc/{pid}").exists() and pid != os.getpid() else deaths + 1


def _write(path: Path, deaths: int) -> None:
    """A note that cannot be written, on a full disk say, only makes the search longer."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{os.getpid()} {deaths}")
    except OSError as error:
        logger.warning("cannot note that %s is handled: %s", path.name, error)
