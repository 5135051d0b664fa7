"""Puts a model right whose stub has died: once for all who noticed, and ever more rarely while it does not help."""

import asyncio
import logging
import time
from dataclasses import dataclass

from ropewalk.serving.adapters.triton_control import ModelControl
from ropewalk.serving.errors import BackendError
from ropewalk.serving.ports import Repaired

logger = logging.getLogger(__name__)

_UNLOAD_S = 15.0  # Triton takes a dead stub down within some seconds, or not at all
_LOOK_S = 0.1  # between two looks whether it is unloaded
_PAUSE_S = 1.0  # between unload and load: Triton still takes down the dead stub
_LONGEST_WAIT_S = 60.0  # between two repairs in a row
_HEALED_S = 300.0  # a model that lived for so long since its last repair starts anew


@dataclass
class _Past:
    """The repairs of a model in a row."""

    number: int = 0
    ended_at: float = 0.0

    def wait_s(self, now: float) -> float:
        """How long the next one must wait: 0, 1, 2, 4, … seconds after the last."""
        if now - self.ended_at > _HEALED_S:
            self.number = 0
        if not self.number:
            return 0.0
        return max(0.0, self.ended_at + min(_LONGEST_WAIT_S, 2.0 ** (self.number - 1)) - now)


class Repairs:
    """The repairs of one server."""

    def __init__(self, control: ModelControl, on_repaired: Repaired) -> None:
        self._control = control
        self._on_repaired = on_repaired
        self._running: dict[str, asyncio.Task[None]] = {}  # by target
        self._past: dict[str, _Past] = {}  # by target

    @property
    def targets(self) -> frozenset[str]:
        """The models under repair: they come back by themselves."""
        return frozenset(self._running)

    def needed(self, target: str, cause: str, seen: int) -> None:
        """A model was seen dead at its load number `seen`. Nothing happens if that is known or long past."""
        if target in self._running or self._control.num_loads[target] != seen:
            return
        task = asyncio.create_task(self._repair(target, cause))
        self._running[target] = task
        task.add_done_callback(lambda _: self._running.pop(target, None))

    def forget(self, target: str) -> None:
        """The model is to go: do not bring it back."""
        if task := self._running.get(target):
            task.cancel()

    async def close(self) -> None:
        """Stop all work."""
        tasks = tuple(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _repair(self, target: str, cause: str) -> None:
        past = self._past.setdefault(target, _Past())
        await asyncio.sleep(past.wait_s(time.monotonic()))
        started = time.monotonic()
        logger.warning("repairing %s: %s", target, cause)
        past.number += 1
        try:
            await self._reload(target)
        except (BackendError, TimeoutError) as error:  # whoever keeps the models loaded tries on
            logger.error("could not repair %s: %s", target, error)
            return
        finally:
            past.ended_at = time.monotonic()
        await self._on_repaired(target, cause, time.monotonic() - started)

    async def _reload(self, target: str) -> None:
        await self._control.unload(target)
        async with asyncio.timeout(_UNLOAD_S):
            while target in await self._control.ready():
                await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(_PAUSE_S)
        await self._control.load(target)
