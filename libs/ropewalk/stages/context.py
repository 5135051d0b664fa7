"""One stage of one run: what the work may use while it holds the lease."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ropewalk.bus.bus import Bus
from ropewalk.events.base import Message
from ropewalk.events.resources import Resources
from ropewalk.recipes.recipe import Recipe
from ropewalk.stages.child import KILL_GRACE_S, OnReport, run_child
from ropewalk.stages.leases import Lease
from ropewalk.storage.objects import ObjectStore

A = TypeVar("A")
R = TypeVar("R")
M = TypeVar("M", bound=Message)


@dataclass(kw_only=True)
class StageContext:
    """Given to a stage's work. `attempt` is 1 the first time; `epoch` fences off earlier holders of the lease.

    `cancelled` says that it is to leave soon: the run was cancelled or paused.
    """

    stage: str
    run_id: str
    epoch: int
    attempt: int
    cause_id: str
    recipe: Recipe
    bus: Bus
    objects: ObjectStore
    scratch: Path
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    cpu_seconds: float = 0.0
    lease: Lease | None = None
    progressed_at: float = field(default_factory=time.monotonic)
    stop_grace_s: float = KILL_GRACE_S  # for the child of a stage that leaves; less for one that was cancelled

    async def emit(self, message: Message, key: str = "") -> None:
        """Publish a fact now. The same trigger, type and key give the same id, so a redo repeats no fact.

        Waits while the lease cannot be renewed: a holder that is cut off must not speak. Raises LeaseLostError.
        """
        self.progressed()
        publish = partial(
            self.bus.publish, message, cause_id=self.cause_id, key=f"{self.stage}/{key}", epoch=self.epoch
        )
        await (publish() if self.lease is None else self.lease.speak(publish))

    def progressed(self) -> None:
        """The work is getting on; a stage that never says so for `StageSpec.stall_s` counts as stalled."""
        self.progressed_at = time.monotonic()

    async def in_child(
        self,
        function: Callable[[A, OnReport], R],
        argument: A,
        on_message: Callable[[Any], Awaitable[None]] | None = None,
    ) -> R:
        """Run heavy work in a process of its own; see `child.run_child`."""

        async def on_sign(value: Any) -> None:
            self.progressed()
            if on_message is not None:
                await on_message(value)

        def grace_s() -> float:
            return min(self.stop_grace_s, KILL_GRACE_S) if self.cancelled.is_set() else self.stop_grace_s

        return await run_child(function, argument, on_sign, self.add_cpu_seconds, grace_s)

    def add_cpu_seconds(self, seconds: float) -> None:
        """Count CPU time that was used elsewhere for this stage."""
        self.cpu_seconds += seconds


def scratch_folder(parent: Path, stage: str, run_id: str, epoch: int) -> Path:
    """An empty private folder for one holder of one lease."""
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{stage}-{run_id}-{epoch}-", dir=parent))


def remove_scratch(folder: Path) -> None:
    """Remove a scratch folder with what is left in it."""
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """A stage of a service: its name, the message that asks for it (if `when` agrees), and the work.

    `needs` is its share of the pool for a recipe; with nothing it never waits. `stall_s` is how long it may be silent.
    """

    name: str
    trigger: type[Message]
    work: Callable[[StageContext, Any], Awaitable[tuple[Message, ...]]]
    when: Callable[[Any], bool] = lambda _: True
    needs: Callable[[Recipe], Resources] = lambda _: Resources(cpus=1.0)
    stall_s: float = 1800.0
