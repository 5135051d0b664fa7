"""The scrub: hash again, slowly and for ever, what was whole once. Disks forget, and people tidy up.

What is damaged is moved to quarantine and told, so that nobody resumes from it, exports it or serves it. A run does not
need its old checkpoints: it goes on. A deletion that is under way looks like damage for a moment, so a second look,
after the log was read again, has to agree.
"""

import asyncio
import logging
import threading
import time
from typing import Protocol

from ropewalk.bus.codec import Stored
from ropewalk.bus.once import Log, RunningFold
from ropewalk.checkpoint_manager.adapters.checkpoints import Broken, inspect, move_aside
from ropewalk.checkpoint_manager.domain.keys import export_quarantine_key, quarantine_key
from ropewalk.checkpoint_manager.domain.scrub import SUBJECTS, Inventory, Kept
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointQuarantined, ExportQuarantined
from ropewalk.storage.objects import ObjectStore

logger = logging.getLogger(__name__)

_IDLE_S = 30.0
_CONFIRM_S = 5.0  # longer than a deletion takes to be told


class Facts(Log, Protocol):
    """The log, and the way into it."""

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "", epoch: int = 0) -> None:
        """Add a fact; one of the same type and key is added once."""
        ...


class Pace:
    """Holds reading to a rate, on average since it began. `stop` ends the reading at its next piece."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._began, self._read, self._stopped = time.monotonic(), 0, threading.Event()

    def __call__(self, num_bytes: int) -> None:
        """Wait until so many bytes more are allowed. Raises InterruptedError once it was stopped."""
        self._read += num_bytes
        ahead_s = self._read / self._bytes_per_s - (time.monotonic() - self._began)
        if self._stopped.wait(max(0.0, ahead_s)):
            raise InterruptedError("the scrub stops")

    def stop(self) -> None:
        """From any thread."""
        self._stopped.set()


class Scrub:
    """Looks at one folder after the other, each once in `every_s` seconds."""

    def __init__(
        self, objects: ObjectStore, *, every_s: float, bytes_per_s: float, confirm_s: float = _CONFIRM_S
    ) -> None:
        self._objects, self._every_s, self._bytes_per_s = objects, every_s, bytes_per_s
        self._confirm_s = confirm_s
        self._fold: RunningFold[Inventory] = RunningFold(Inventory(), _add, *SUBJECTS)

    async def run(self, log: Facts) -> None:
        """Until it is cancelled."""
        while True:
            if not await self.look_once(log):
                await asyncio.sleep(min(_IDLE_S, self._every_s))

    async def look_once(self, log: Facts) -> bool:
        """Look at the folder that is due, and tell if it is damaged. False if none is due."""
        inventory = await self._fold.now(log)
        kept = inventory.due(time.time(), self._every_s)
        if kept is None:
            return False
        broken = await self._hash(kept)
        if broken is not None:
            await asyncio.sleep(self._confirm_s)
            inventory = await self._fold.now(log)
            broken = await self._hash(kept) if kept.uri in inventory.kept else None
        inventory.looked(kept, time.time())
        if broken is not None:
            logger.warning("%s is damaged: %s %s", kept.uri, broken.file, broken.reason)
            await log.publish(await asyncio.to_thread(self._set_aside, kept, broken), key=f"{kept.uri}/{kept.sha256}")
        return True

    async def _hash(self, kept: Kept) -> Broken | None:
        pace = Pace(self._bytes_per_s)
        try:
            found = await asyncio.to_thread(inspect, self._objects, kept.uri, kept.sha256, pace)
        except OSError as error:  # the store is away, which says nothing about the folder
            logger.warning("%s could not be looked at: %s", kept.uri, error)
            return None
        finally:
            pace.stop()
        return found if isinstance(found, Broken) else None

    def _set_aside(self, kept: Kept, broken: Broken) -> CheckpointQuarantined | ExportQuarantined:
        run_id, checkpoint_id = kept.run_id, kept.checkpoint_id
        if kept.is_export:
            uri = export_quarantine_key(checkpoint_id)
            found = move_aside(self._objects, kept.uri, uri, broken)
            return ExportQuarantined(
                run_id=run_id, checkpoint_id=checkpoint_id, uri=uri, file=found.file, reason=found.reason
            )
        uri = quarantine_key(checkpoint_id)
        found = move_aside(self._objects, kept.uri, uri, broken)
        return CheckpointQuarantined(
            run_id=run_id, checkpoint_id=checkpoint_id, step=kept.step, uri=uri, file=found.file, reason=found.reason
        )


def _add(inventory: Inventory, item: Stored[Message]) -> None:
    inventory.add(item.message, item.time.timestamp())
